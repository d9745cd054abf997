{{/* The name of all objects: the release's, with the chart's in it. */}}
{{- define "hacron.name" -}}
{{- if contains .Chart.Name .Release.Name -}}
{{- .Release.Name | trunc 52 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name .Chart.Name | trunc 52 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* What the replicas of this release are found by. */}}
{{- define "hacron.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "hacron.labels" -}}
{{ include "hacron.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{/* The Secret that says where the broker is. */}}
{{- define "hacron.brokerSecret" -}}
{{- $existing := .Values.broker.existingSecret.name -}}
{{- if and $existing .Values.broker.url -}}
{{- fail "broker.url and broker.existingSecret.name are both set: keep the one that says where RabbitMQ is" -}}
{{- else if not (or $existing .Values.broker.url) -}}
{{- fail "where is RabbitMQ? Set broker.existingSecret.name to a Secret with amqps:// URLs under the key url, or broker.url to the URLs" -}}
{{- end -}}
{{- if and .Values.broker.url (not (regexMatch "^amqps?://[^, ]+(,amqps?://[^, ]+)*$" .Values.broker.url)) -}}
{{- fail "broker.url must be amqp:// or amqps:// URLs such as amqps://user:password@host:5671, separated by commas" -}}
{{- end -}}
{{- $existing | default (printf "%s-broker" (include "hacron.name" .)) -}}
{{- end -}}

{{/* The settings as variables of the environment. */}}
{{- define "hacron.settings" -}}
HACRON_CLUSTER: {{ required "what is this cluster called? Set cluster to its name, such as west" .Values.cluster | quote }}
{{- range $name, $value := .Values.settings }}
{{- if not (kindIs "invalid" $value) }}
HACRON_{{ upper $name }}: {{ if kindIs "float64" $value }}{{ $value | toJson | quote }}{{ else }}{{ $value | toString | quote }}{{ end }}
{{- end }}
{{- end }}
{{- end -}}
