-- Leaves the candidate; without one, goes back to the revision that served before.
local annotations = obj.metadata.annotations or {}
local target = (obj.status or {}).candidateRevision or "previous"
annotations["gateway.keeptrusts.com/rollback"] = target .. "#" .. os.date("!%Y%m%dT%H%M%SZ")
obj.metadata.annotations = annotations
return obj
