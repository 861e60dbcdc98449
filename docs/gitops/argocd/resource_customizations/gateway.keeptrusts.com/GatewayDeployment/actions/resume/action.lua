local annotations = obj.metadata.annotations or {}
annotations["gateway.keeptrusts.com/pause"] = "false"
obj.metadata.annotations = annotations
return obj
