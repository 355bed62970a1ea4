{{/* The processor's id, and the name of its objects. */}}
{{- define "processor.name" -}}
{{- $name := default .Release.Name .Values.name -}}
{{- if not (regexMatch "^[a-z]([a-z0-9-]{0,61}[a-z0-9])?$" $name) -}}
{{- fail (printf "name %q: expected 1 to 63 lower case letters, digits and -, that begin with a letter (RFC 1035); set name" $name) -}}
{{- end -}}
{{- $name -}}
{{- end -}}

{{/* Where the state is kept, and whether all values fit. */}}
{{- define "processor.store" -}}
{{- $hasState := or (not .Values.sidecar.enabled) .Values.sidecar.stateDir -}}
{{- $store := .Values.store | default (ternary "configmap" "none" (not (not $hasState))) -}}
{{- if and (eq $store "none") $hasState -}}
{{- fail "store: none is for an application behind the sidecar, without sidecar.stateDir" -}}
{{- end -}}
{{- if and (ne $store "none") (not $hasState) -}}
{{- fail "store: a sidecar keeps a state only with sidecar.stateDir" -}}
{{- end -}}
{{- if and (ne $store "none") (gt (int .Values.replicas) 1) -}}
{{- fail (printf "replicas %d: a state has one writer; give each processor a release of its own" (int .Values.replicas)) -}}
{{- end -}}
{{- if and (eq $store "s3") (not .Values.s3.bucket) -}}
{{- fail "store s3 needs s3.bucket" -}}
{{- end -}}
{{- if and .Values.sidecar.enabled .Values.sidecar.stateDir (semverCompare "<1.29.0-0" .Capabilities.KubeVersion.Version) -}}
{{- fail (printf "sidecar.stateDir needs Kubernetes 1.29 or later, where a sidecar starts before the application and ends after it; this is %s" .Capabilities.KubeVersion.Version) -}}
{{- end -}}
{{- if eq (int (default 0 .Values.appPort)) (int .Values.healthPort) -}}
{{- fail (printf "appPort %d is also healthPort" (int .Values.healthPort)) -}}
{{- end -}}
{{- $store -}}
{{- end -}}

{{- define "processor.image" -}}
{{- if .digest -}}
{{ .repository }}@{{ .digest }}
{{- else -}}
{{ .repository }}:{{ .tag | default "latest" }}
{{- end -}}
{{- end -}}

{{- define "processor.serviceAccount" -}}
{{- default (include "processor.name" .) .Values.serviceAccount.name -}}
{{- end -}}

{{- define "processor.claim" -}}
{{- default (printf "%s-state" (include "processor.name" .)) .Values.pvc.existingClaim -}}
{{- end -}}

{{- define "processor.selector" -}}
app: {{ include "processor.name" . }}
{{- end -}}

{{- define "processor.labels" -}}
{{ include "processor.selector" . }}
app.kubernetes.io/name: {{ include "processor.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{/* The variables of the container that serves the endpoints. */}}
{{- define "processor.env" -}}
{{- $name := include "processor.name" . -}}
{{- $store := include "processor.store" . -}}
- name: DORY_PROCESSOR_ID
  value: {{ $name | quote }}
- name: DORY_POD_NAME
  valueFrom:
    fieldRef:
      fieldPath: metadata.name
- name: DORY_POD_NAMESPACE
  valueFrom:
    fieldRef:
      fieldPath: metadata.namespace
- name: DORY_HEALTH_PORT
  value: {{ .Values.healthPort | quote }}
- name: DORY_SHUTDOWN_TIMEOUT_SEC
  value: {{ .Values.shutdownTimeout | quote }}
# Older releases never ask newer ones for the state.
- name: DORY_REVISION
  value: {{ .Release.Revision | quote }}
{{- if ne $store "none" }}
- name: DORY_STATE_BACKEND
  value: {{ $store }}
{{- end }}
{{- if eq $store "pvc" }}
- name: DORY_STATE_PVC_MOUNT
  value: /data
{{- end }}
{{- if eq $store "s3" }}
- name: DORY_STATE_S3_BUCKET
  value: {{ .Values.s3.bucket | quote }}
{{- with .Values.s3.endpoint }}
- name: DORY_STATE_S3_ENDPOINT
  value: {{ . | quote }}
{{- end }}
{{- with .Values.s3.prefix }}
- name: DORY_STATE_S3_PREFIX
  value: {{ . | quote }}
{{- end }}
{{- with .Values.s3.region }}
- name: AWS_REGION
  value: {{ . | quote }}
{{- end }}
{{- $secret := default (printf "%s-s3" $name) .Values.s3.secret }}
{{- range list "AWS_ACCESS_KEY_ID" "AWS_SECRET_ACCESS_KEY" }}
- name: {{ . }}
  valueFrom:
    secretKeyRef:
      name: {{ $secret | quote }}
      key: {{ . }}
{{- end }}
{{- end }}
{{- with .Values.tokenSecret }}
- name: DORY_STATE_TOKEN
  valueFrom:
    secretKeyRef:
      name: {{ . | quote }}
      key: token
{{- end }}
{{- with .Values.appPort }}
- name: DORY_APP_PORT
  value: {{ . | quote }}
{{- end }}
{{- if .Values.sidecar.enabled }}
{{- with .Values.sidecar.healthPath }}
- name: DORY_APP_HEALTH_PATH
  value: {{ . | quote }}
{{- end }}
{{- with .Values.sidecar.readyPath }}
- name: DORY_APP_READY_PATH
  value: {{ . | quote }}
{{- end }}
{{- with .Values.sidecar.prestopPath }}
- name: DORY_APP_PRESTOP_PATH
  value: {{ . | quote }}
{{- end }}
{{- if .Values.sidecar.readyRequiresApp }}
- name: DORY_READY_REQUIRES_APP
  value: "true"
{{- end }}
{{- end }}
{{- end -}}

{{/* The probes and the hook of that container. */}}
{{- define "processor.endpoints" -}}
{{ include "processor.probes" . }}
lifecycle:
  preStop:
    httpGet:
      path: /prestop
      port: health
{{- end -}}

{{- define "processor.probes" -}}
livenessProbe:
  httpGet:
    path: {{ .Values.config.health_path | default "/healthz" }}
    port: health
  initialDelaySeconds: 10
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 3
readinessProbe:
  httpGet:
    path: {{ .Values.config.ready_path | default "/ready" }}
    port: health
  initialDelaySeconds: 1
  periodSeconds: 5
  timeoutSeconds: 3
  failureThreshold: 3
{{- end -}}

{{/* What that container mounts. */}}
{{- define "processor.mounts" -}}
- name: tmp
  mountPath: /tmp
{{- if .Values.config }}
- name: config
  mountPath: /etc/dory
  readOnly: true
{{- end }}
{{- if eq (include "processor.store" .) "pvc" }}
- name: state
  mountPath: /data
{{- end }}
{{- with .Values.sidecar.stateDir }}
- name: app-state
  mountPath: {{ . | quote }}
{{- end }}
{{- end -}}

{{/* The container with the sidecar. */}}
{{- define "processor.sidecar" -}}
- name: {{ ternary "satellite-sidecar" "sidecar" (eq (include "processor.name" .) "sidecar") }}
  image: {{ printf "%s:%s" .Values.sidecar.image.repository (default .Chart.AppVersion .Values.sidecar.image.tag) | quote }}
  imagePullPolicy: {{ .Values.sidecar.image.pullPolicy }}
  args:
  - sidecar
  {{- with .Values.sidecar.stateDir }}
  - --state-dir
  - {{ . | quote }}
  {{- end }}
  ports:
  - name: health
    containerPort: {{ .Values.healthPort }}
    protocol: TCP
  env:
    {{- include "processor.env" . | nindent 4 }}
  {{- if .Values.sidecar.stateDir }}
  {{- /* It saves the folder at SIGTERM, after the application has ended: a hook is called while
  the application still writes. */}}
  {{- include "processor.probes" . | nindent 2 }}
  {{- else }}
  {{- include "processor.endpoints" . | nindent 2 }}
  {{- end }}
  resources:
    {{- toYaml .Values.sidecar.resources | nindent 4 }}
  securityContext:
    allowPrivilegeEscalation: false
    readOnlyRootFilesystem: true
    capabilities:
      drop: [ALL]
  volumeMounts:
  {{- include "processor.mounts" . | nindent 2 }}
{{- end -}}
