-- Requests that make sense now. A bypass is not among them: Argo CD asks as itself, and a bypass needs a person.
local status = obj.status or {}
local rolling = status.candidateRevision ~= nil
local moving = rolling and (status.phase == "Canary" or status.phase == "Soaking" or status.phase == "Held")

local promoted = 0
local seen = {}
for _, entry in ipairs(status.history or {}) do
  if entry.outcome == "Promoted" and not seen[entry.revision] then
    seen[entry.revision] = true
    promoted = promoted + 1
  end
end

local annotations = obj.metadata.annotations or {}
local pause = annotations["gateway.keeptrusts.com/pause"]
local paused = pause == "true"

local actions = {}
actions["promote"] = { disabled = not moving, iconClass = "fa fa-fw fa-forward", displayName = "Promote now" }
actions["rollback"] = { disabled = not (rolling or promoted > 1), iconClass = "fa fa-fw fa-undo", displayName = "Roll back" }
actions["pause"] = { disabled = paused, iconClass = "fa fa-fw fa-pause", displayName = "Pause rollouts" }
actions["resume"] = { disabled = pause == nil or pause == "false", iconClass = "fa fa-fw fa-play", displayName = "Resume rollouts" }
return actions
