{{- /* generated from charts/plain/rbac.yaml by charts/generate.py; do not edit */ -}}
{{- define "keeptrusts-operator.rules" -}}
rules:
# Our kinds. `patch` is for the finalizer of the control loop (and its removal); `spec` is never written.
- apiGroups: [gateway.keeptrusts.com]
  resources: [gatewaydeployments]
  verbs: [get, list, watch, patch]
- apiGroups: [gateway.keeptrusts.com]
  resources: [gatewaypolicies]
  verbs: [get, list, watch]
- apiGroups: [gateway.keeptrusts.com]
  resources: [gatewaydeployments/status, gatewaypolicies/status]
  verbs: [patch]
# Owner references that block their owner's deletion need this where the admission plugin for them is on.
- apiGroups: [gateway.keeptrusts.com]
  resources: [gatewaydeployments/finalizers]
  verbs: [update]
# Children, and the ConfigMaps that policies name.
- apiGroups: [""]
  resources: [services]
  verbs: [get, list, watch, create, patch]
- apiGroups: [""]
  resources: [configmaps]
  verbs: [get, list, watch, create, delete]
- apiGroups: [apps]
  resources: [deployments]
  verbs: [get, list, watch, create, update, patch, delete]
- apiGroups: [""]
  resources: [pods]
  verbs: [get, list, watch, patch, delete]  # patch: labels on the pods of a gateway that is adopted
- apiGroups: [policy]
  resources: [poddisruptionbudgets]
  verbs: [get, list, create, patch, delete]
# When a rollback is effective for new connections.
- apiGroups: [discovery.k8s.io]
  resources: [endpointslices]
  verbs: [list]
# Evidence.
- apiGroups: [gateway.keeptrusts.com]
  resources: [gatewayincidents]
  verbs: [list, create, delete] # list: what passthroughs have used of their budgets; delete: after incidentRetention
- apiGroups: [gateway.keeptrusts.com]
  resources: [gatewayincidents/status]
  verbs: [patch]
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create]
{{- end }}
