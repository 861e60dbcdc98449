local annotations = obj.metadata.annotations or {}
annotations["gateway.keeptrusts.com/pause"] = "true"
obj.metadata.annotations = annotations
return obj
