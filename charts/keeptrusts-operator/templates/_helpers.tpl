{{- define "keeptrusts-operator.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" -}}
{{- else if contains .Chart.Name .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name .Chart.Name | trunc 50 | trimSuffix "-" -}}
{{- end -}}
{{- end }}

{{- define "keeptrusts-operator.serviceAccountName" -}}
{{- .Values.serviceAccount.name | default (include "keeptrusts-operator.fullname" .) -}}
{{- end }}

{{- define "keeptrusts-operator.image" -}}
{{- if .Values.image.digest -}}
{{- printf "%s@%s" .Values.image.repository .Values.image.digest -}}
{{- else -}}
{{- printf "%s:%s" .Values.image.repository (.Values.image.tag | default .Chart.AppVersion) -}}
{{- end -}}
{{- end }}

{{/* Of every pod of this release: operator, cleanup and test. The NetworkPolicy selects these. */}}
{{- define "keeptrusts-operator.releaseLabels" -}}
app.kubernetes.io/name: keeptrusts-operator
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "keeptrusts-operator.selectorLabels" -}}
{{ include "keeptrusts-operator.releaseLabels" . }}
app.kubernetes.io/component: operator
{{- end }}

{{- define "keeptrusts-operator.labels" -}}
{{ include "keeptrusts-operator.releaseLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/part-of: keeptrusts-operator
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* Pod Security "restricted". No user: the image has one, and some platforms give each namespace its own. */}}
{{- define "keeptrusts-operator.podSecurityContext" -}}
runAsNonRoot: true
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "keeptrusts-operator.securityContext" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
runAsNonRoot: true
capabilities: {drop: [ALL]}
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{/* Whether the API server stamps requests: it can from Kubernetes 1.36 on. */}}
{{- define "keeptrusts-operator.stamps" -}}
{{- $can := semverCompare ">=1.36.0-0" .Capabilities.KubeVersion.Version -}}
{{- $asked := .Values.admission.stamps -}}
{{- and .Values.admission.enabled (or (eq $asked "On") (and (eq $asked "Auto") $can)) -}}
{{- end }}

{{/* Who the pod is, and in which namespace its Lease lives. */}}
{{- define "keeptrusts-operator.env" -}}
- name: POD_NAME
  valueFrom: {fieldRef: {fieldPath: metadata.name}}
- name: POD_NAMESPACE
  valueFrom: {fieldRef: {fieldPath: metadata.namespace}}
{{- end }}
