-- A policy that the lint refuses is Degraded: no gateway will run it. Whether one does is told by GatewayDeployments.
local hs = { status = "Progressing", message = "Waiting for the operator to check it" }
local status = obj.status
if status == nil or status.conditions == nil or status.observedGeneration ~= obj.metadata.generation then
  return hs
end
for _, condition in ipairs(status.conditions) do
  if condition.type == "Accepted" then
    hs.message = condition.message
    if condition.status == "True" then
      hs.status = "Healthy"
    elseif condition.status == "False" then
      hs.status = "Degraded"
    end
  end
end
return hs
