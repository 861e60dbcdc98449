-- Degraded: users are not served, or what Git says was rolled back, rejected or cannot go on by itself.
-- Suspended: it waits for a person, or policies are bypassed. Without Lua's standard libraries, as Argo CD runs it.
local hs = { status = "Progressing", message = "Waiting for the operator to look at it" }
local status = obj.status
if status == nil or status.conditions == nil then
  return hs
end
if status.observedGeneration ~= obj.metadata.generation then
  hs.message = "Waiting for the operator to see the newest spec"
  return hs
end

local conditions = {}
for _, condition in ipairs(status.conditions) do
  conditions[condition.type] = condition
end
local function is(type, value)
  return conditions[type] ~= nil and conditions[type].status == value
end
local function answer(health, message)
  hs.status = health
  hs.message = message or status.message or ""
  return hs
end

-- Nothing serves before the first revision is ready: that is not degraded yet.
if is("Available", "False") and conditions["Available"].reason ~= "NoActiveRevision" then
  return answer("Degraded", conditions["Available"].message)
end
if status.phase == "Passthrough" then
  return answer("Suspended")
end
if is("Stalled", "True") then
  local reason = conditions["Stalled"].reason
  local for_people = { Paused = true, Hold = true, Inconclusive = true }
  if for_people[reason] then
    return answer("Suspended", conditions["Stalled"].message)
  end
  return answer("Degraded", conditions["Stalled"].message)
end
if is("Reconciling", "True") or not is("Ready", "True") then
  return answer("Progressing")
end
if is("Healthy", "False") then
  -- Pods come and go with nodes, as those of any Deployment.
  local passing = conditions["Healthy"].reason == "PodsNotReady"
  return answer(passing and "Progressing" or "Degraded", conditions["Healthy"].message)
end
return answer("Healthy")
