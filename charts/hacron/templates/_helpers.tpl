{{/* The name of all objects: the release's, with the chart's in it. */}}
{{- define "hacron.name" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride -}}
{{- else if regexMatch "^[0-9]" .Release.Name -}}
{{- fail (printf "a Service's name begins with a letter, and the release is called %s: set fullnameOverride" .Release.Name) -}}
{{- else if contains .Chart.Name .Release.Name -}}
{{- .Release.Name | replace "." "-" | trunc 52 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name .Chart.Name | replace "." "-" | trunc 52 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* What the replicas of this release are found by. */}}
{{- define "hacron.selector" -}}
app.kubernetes.io/name: hacron
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end -}}

{{/* What the pod of `helm test` is found by. */}}
{{- define "hacron.testSelector" -}}
app.kubernetes.io/name: hacron-test
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end -}}

{{/* The labels of an object: of this, and of a dict of further ones, which go before commonLabels. Each key is there once. */}}
{{- define "hacron.labelsWith" -}}
{{- $root := index . 0 -}}
{{- $chart := dict
      "app.kubernetes.io/version" $root.Chart.AppVersion
      "app.kubernetes.io/managed-by" $root.Release.Service
      "helm.sh/chart" (printf "%s-%s" $root.Chart.Name $root.Chart.Version | replace "+" "_") -}}
{{- include "hacron.selector" $root }}
{{ toYaml (merge (dict) (include "hacron.furtherLabels" . | fromYaml) $chart) }}
{{- end -}}

{{- define "hacron.labels" -}}
{{- include "hacron.labelsWith" (list . dict) -}}
{{- end -}}

{{/* A dict of further labels and commonLabels, without those of the chart. */}}
{{- define "hacron.furtherLabels" -}}
{{- $further := merge (dict) (index . 1 | default dict) ((index . 0).Values.commonLabels | default dict) -}}
{{- range list "app.kubernetes.io/name" "app.kubernetes.io/instance" -}}
{{- if hasKey $further . -}}
{{- fail (printf "%s is a label by which replicas are found: leave it out of commonLabels and of the other labels" .) -}}
{{- end -}}
{{- end -}}
{{- toYaml $further -}}
{{- end -}}

{{- define "hacron.serviceAccount" -}}
{{- if and (not .Values.serviceAccount.create) (not .Values.serviceAccount.name) -}}
{{- fail "serviceAccount.create is false: set serviceAccount.name to the one that is there" -}}
{{- end -}}
{{- .Values.serviceAccount.name | default (include "hacron.name" .) -}}
{{- end -}}

{{- define "hacron.image" -}}
{{- $tag := .Values.image.tag | default (ternary .Chart.AppVersion "" (empty .Values.image.digest)) -}}
{{- .Values.image.repository }}{{ with $tag }}:{{ . }}{{ end }}{{ with .Values.image.digest }}@{{ . }}{{ end -}}
{{- end -}}

{{/* The Secret that says where the broker is. */}}
{{- define "hacron.brokerSecret" -}}
{{- $existing := .Values.broker.existingSecret.name -}}
{{- $tls := or .Values.broker.tls.caSecret.name .Values.broker.tls.clientSecret.name -}}
{{- if and $existing .Values.broker.url -}}
{{- fail "broker.url and broker.existingSecret.name are both set: keep the one that says where RabbitMQ is" -}}
{{- else if not (or $existing .Values.broker.url) -}}
{{- fail "where is RabbitMQ? Set broker.existingSecret.name to a Secret with amqps:// URLs under the key url, or broker.url to the URLs" -}}
{{- end -}}
{{- if and .Values.broker.url (not (regexMatch "^amqps?://[^, ]+(,amqps?://[^, ]+)*$" .Values.broker.url)) -}}
{{- fail "broker.url must be amqp:// or amqps:// URLs such as amqps://user:password@host:5671, separated by commas" -}}
{{- end -}}
{{- if and $tls (regexMatch "(^|,)amqp://" (.Values.broker.url | default "")) -}}
{{- fail "broker.tls is for amqps:// URLs only, and broker.url has one with amqp://: nothing there is encrypted" -}}
{{- end -}}
{{- if .Values.broker.tls.clientUser -}}
{{- if not .Values.broker.tls.clientSecret.name -}}
{{- fail "broker.tls.clientUser is who replicas are by their certificate, and broker.tls.clientSecret.name names none" -}}
{{- else if or .Values.broker.credentialsSecret.name (contains "@" (.Values.broker.url | default "")) -}}
{{- fail "replicas log in by their certificate (broker.tls.clientUser) or with a password (broker.credentialsSecret, or a user in broker.url): keep one of the two" -}}
{{- end -}}
{{- end -}}
{{- $existing | default (printf "%s-broker" (include "hacron.name" .)) -}}
{{- end -}}

{{/* The settings as variables of the environment. */}}
{{- define "hacron.settings" -}}
HACRON_CLUSTER: {{ required "what is this cluster called? Set cluster to its name, such as west" .Values.cluster | quote }}
{{- with .Values.clusterLabels }}
{{- $pairs := list }}
{{- range $name, $value := . }}
{{- $pairs = append $pairs (printf "%s=%s" $name $value) }}
{{- end }}
HACRON_CLUSTER_LABELS: {{ join "," $pairs | quote }}
{{- end }}
{{- with .Values.watchNamespaces }}
HACRON_WATCH_NAMESPACES: {{ join "," . | quote }}
{{- end }}
{{- if .Values.broker.tls.caSecret.name }}
HACRON_BROKER_CA_FILE: /etc/hacron/broker/ca.crt
{{- end }}
{{- if .Values.broker.tls.clientSecret.name }}
HACRON_BROKER_CERT_FILE: /etc/hacron/broker/tls.crt
HACRON_BROKER_KEY_FILE: /etc/hacron/broker/tls.key
{{- end }}
{{- with .Values.broker.tls.clientUser }}
HACRON_BROKER_CERT_USER: {{ . | quote }}
{{- end }}
{{- range $name, $value := .Values.settings }}
{{- if not (kindIs "invalid" $value) }}
HACRON_{{ upper $name }}: {{ if kindIs "float64" $value }}{{ $value | toJson | quote }}{{ else }}{{ $value | toString | quote }}{{ end }}
{{- end }}
{{- end }}
{{- end -}}

{{/* The Secrets with certificates, as one folder. */}}
{{- define "hacron.brokerCertificates" -}}
{{- with .Values.broker.tls.caSecret }}
{{- if .name }}
- secret:
    name: {{ .name | quote }}
    items:
      - key: {{ .key | quote }}
        path: ca.crt
{{- end }}
{{- end }}
{{- with .Values.broker.tls.clientSecret }}
{{- if .name }}
- secret:
    name: {{ .name | quote }}
    items:
      - key: {{ .certKey | quote }}
        path: tls.crt
      - key: {{ .keyKey | quote }}
        path: tls.key
{{- end }}
{{- end }}
{{- end -}}

{{/* The alerts: of the text of their file, and of prometheusRule. As they stand, unless something is to be another way. */}}
{{- define "hacron.alerts" -}}
{{- $text := index . 0 -}}
{{- $how := index . 1 -}}
{{- if or $how.selector $how.alertLabels $how.without -}}
{{- $group := index (fromYaml $text).groups 0 -}}
{{- $known := list -}}
{{- $rules := list -}}
{{- range $rule := $group.rules -}}
{{- $known = append $known $rule.alert -}}
{{- if not (has $rule.alert $how.without) -}}
{{- $narrowed := include "hacron.narrowed" (list $rule.expr $how.selector) -}}
{{- $rules = append $rules (merge (dict "expr" $narrowed "labels" (merge (dict) $rule.labels ($how.alertLabels | default dict))) $rule) -}}
{{- end -}}
{{- end -}}
{{- range $how.without -}}
{{- if not (has . $known) -}}
{{- fail (printf "prometheusRule.without: %s is not one of %s" . (join ", " $known)) -}}
{{- end -}}
{{- end -}}
{{- toYaml (dict "groups" (list (dict "name" $group.name "rules" $rules))) -}}
{{- else -}}
{{- $text -}}
{{- end -}}
{{- end -}}

{{/* An expression of PromQL, with these matchers for each of our numbers. */}}
{{- define "hacron.narrowed" -}}
{{- $expr := index . 0 -}}
{{- with index . 1 -}}
{{- $expr = regexReplaceAll "(hacron_\\w+)([^\\w{]|$)" $expr "${1}{}${2}" -}}
{{- $expr = regexReplaceAll "(hacron_\\w+)\\{" $expr (printf "${1}{%s," (replace "$" "$$" .)) -}}
{{- $expr = replace (printf "{%s,}" .) (printf "{%s}" .) $expr -}}
{{- end -}}
{{- $expr -}}
{{- end -}}
