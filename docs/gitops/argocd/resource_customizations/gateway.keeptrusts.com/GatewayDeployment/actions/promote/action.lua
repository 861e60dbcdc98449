-- Names the candidate, so that a click on an old page promotes nothing else.
local annotations = obj.metadata.annotations or {}
annotations["gateway.keeptrusts.com/promote"] = obj.status.candidateRevision .. "#" .. os.date("!%Y%m%dT%H%M%SZ")
obj.metadata.annotations = annotations
return obj
