{{- define "tailpost.name" -}}
{{- if contains .Chart.Name .Release.Name }}{{ .Release.Name | trunc 50 | trimSuffix "-" }}{{ else }}{{ printf "%s-%s" .Release.Name .Chart.Name | trunc 50 | trimSuffix "-" }}{{ end }}
{{- end }}

{{- define "tailpost.selector" -}}
app.kubernetes.io/name: tailpost
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "tailpost.labels" -}}
{{ include "tailpost.selector" . }}
app.kubernetes.io/version: {{ include "tailpost.version" . | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{- /* What a label may be: up to 63 letters, digits, '-', '_' and '.', with a letter or a digit at both ends. */ -}}
{{- define "tailpost.version" -}}
{{- $tag := regexReplaceAll "@.*$" (.Values.image.tag | default .Chart.AppVersion) "" -}}
{{- regexFind "[A-Za-z0-9](.*[A-Za-z0-9])?" (regexReplaceAll "[^A-Za-z0-9._-]" $tag "-" | trunc 63) }}
{{- end }}

{{- define "tailpost.serviceAccount" -}}
{{- if .Values.serviceAccount.create }}{{ .Values.serviceAccount.name | default (include "tailpost.name" .) }}{{ else }}{{ .Values.serviceAccount.name | default "default" }}{{ end }}
{{- end }}

{{- define "tailpost.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}{{ with .Values.image.digest }}@{{ . }}{{ end }}
{{- end }}

{{- define "tailpost.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{- define "tailpost.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end }}

{{- /* Of HCL only what the probes depend on: where the API listens. Comments do not count that take a line, or stand behind a space. */ -}}
{{- define "tailpost.reachable" -}}
{{- $text := regexReplaceAll "(?ms)^\\s*/\\*.*?\\*/" .Values.config "" -}}
{{- $text = regexReplaceAll "(?m)(^|\\s)(#|//).*$" $text "" -}}
{{- $write := printf "write api { listen = \":%d\" and a key, as in the chart's values.yaml; or, for another port, set service.port too" (int .Values.service.port) -}}
{{- if not (regexMatch "(?m)^\\s*api\\s*\\{" $text) }}
{{- fail (printf "config has no api block, and the pods' probes ask the API: %s" $write) }}
{{- end }}
{{- if not (regexMatch "(?m)^\\s*api\\s*\\{([^{}]|\\{([^{}]|\\{[^{}]*\\})*\\})*?\\blisten\\s*=" $text) }}
{{- fail (printf "config does not say where the API listens, which is the pod's loopback then, where its probes do not reach it: %s" $write) }}
{{- end }}
{{- $listen := regexFind "(?m)^\\s*api\\s*\\{([^{}]|\\{([^{}]|\\{[^{}]*\\})*\\})*?\\blisten\\s*=\\s*\"[^\"]*\"" $text | regexFind "\"[^\"]*\"$" | trimAll "\"" -}}
{{- if regexMatch "^(127\\.|localhost:|\\[::1\\]:)" $listen }}
{{- fail (printf "config has the API listen at %s, where the pods' probes do not reach it: %s" $listen $write) }}
{{- end }}
{{- if and (regexMatch ":[0-9]+$" $listen) (not (hasSuffix (printf ":%d" (int .Values.service.port)) $listen)) }}
{{- fail (printf "config has the API listen at %s, and the pods' probes ask at port %d: %s" $listen (int .Values.service.port) $write) }}
{{- end }}
{{- end }}

{{- define "tailpost.config" -}}
{{- include "tailpost.reachable" . -}}
{{ .Values.config }}
{{- with .Values.fanout }}{{ if .enabled }}

fanout "nats" {
  url        = env("TAILPOST_NATS_URL")
  partitions = {{ .partitions }}
  replicas   = {{ .replicas }}
  {{- if .credentialsKey }}

  credentials = env("TAILPOST_NATS_CREDENTIALS")
  {{- end }}
}
{{ end }}{{ end }}
{{- end }}
