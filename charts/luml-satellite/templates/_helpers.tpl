{{/* The name of the objects, and whether the values fit. */}}
{{- define "satellite.name" -}}
{{- $name := default .Release.Name .Values.name -}}
{{- if not (regexMatch "^[a-z]([a-z0-9-]{0,61}[a-z0-9])?$" $name) -}}
{{- fail (printf "name %q: expected 1 to 63 lower case letters, digits and -, that begin with a letter; set name" $name) -}}
{{- end -}}
{{- if eq (int .Values.gateway.port) (int .Values.healthPort) -}}
{{- fail (printf "gateway.port %d is also healthPort" (int .Values.healthPort)) -}}
{{- end -}}
{{- range .Values.env -}}
{{- if and (hasKey . "value") (has .name (list "LUML_SATELLITE_TOKEN" "SATELLITE_TOKEN")) -}}
{{- fail (printf "env: %s is a secret; put it in a Secret and set token.secret" .name) -}}
{{- end -}}
{{- end -}}
{{- $name -}}
{{- end -}}

{{- define "satellite.image" -}}
{{- with .Values.image -}}
{{- if .digest -}}
{{ .repository }}@{{ .digest }}
{{- else -}}
{{ .repository }}:{{ .tag | default $.Chart.AppVersion }}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "satellite.claim" -}}
{{- default (printf "%s-state" (include "satellite.name" .)) .Values.persistence.existingClaim -}}
{{- end -}}

{{- define "satellite.labels" -}}
app: {{ include "satellite.name" . }}
app.kubernetes.io/name: luml-satellite
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}
