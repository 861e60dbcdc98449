-- Written by the operator, not in Git as a rule; Argo CD shows it where somebody keeps its `spec` there.
local hs = { status = "Progressing", message = "Waiting for the operator to write it" }
local status = obj.status
if status == nil or status.phase == nil then
  return hs
end
hs.message = status.message or ""
if status.phase == "Resolved" then
  hs.status = "Healthy"
elseif status.phase == "Mitigated" then
  hs.status = "Suspended" -- users are safe; people have to finish it
elseif status.phase == "Open" then
  hs.status = "Degraded"
end
return hs
