{{- define "notify.name" -}}
{{- .Values.nameOverride | default .Chart.Name | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{/* At most 52 characters, so that "-valkey-0" and "-internal" still fit into a label. */}}
{{- define "notify.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 52 | trimSuffix "-" -}}
{{- else if contains (include "notify.name" .) .Release.Name -}}
{{- .Release.Name | trunc 52 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "notify.name" .) | trunc 52 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* What selects pods. It never holds a version: a Deployment's selector cannot be changed later. */}}
{{- define "notify.selectorLabels" -}}
app.kubernetes.io/name: {{ include "notify.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: server
{{- end -}}

{{- define "notify.valkeySelectorLabels" -}}
app.kubernetes.io/name: {{ include "notify.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: valkey
{{- end -}}

{{- define "notify.chartLabels" -}}
app.kubernetes.io/part-of: notify
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/version: {{ .Values.image.tag | default .Chart.AppVersion | trunc 63 | quote }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "notify.labels" -}}
{{ include "notify.selectorLabels" . }}
{{ include "notify.chartLabels" . }}
{{- end -}}

{{- define "notify.valkeyLabels" -}}
{{ include "notify.valkeySelectorLabels" . }}
{{ include "notify.chartLabels" . }}
{{- end -}}

{{/* The block of annotations of an object: those of every object, and its own (.own), which win. */}}
{{- define "notify.annotations" -}}
{{- with merge (dict) (.own | default dict) .root.Values.commonAnnotations -}}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- define "notify.image" -}}
{{- if .Values.image.digest -}}
{{- printf "%s@%s" .Values.image.repository .Values.image.digest -}}
{{- else -}}
{{- printf "%s:%s" .Values.image.repository (.Values.image.tag | default .Chart.AppVersion) -}}
{{- end -}}
{{- end -}}

{{- define "notify.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- .Values.serviceAccount.name | default (include "notify.fullname" .) -}}
{{- else -}}
{{- .Values.serviceAccount.name | default "default" -}}
{{- end -}}
{{- end -}}

{{/* All steps of the way down, and a margin: the kubelet's SIGKILL must never come before the drain is over. */}}
{{- define "notify.gracePeriodSeconds" -}}
{{- $drain := .Values.drain -}}
{{- add (int $drain.preStopSeconds) (ceil $drain.delaySeconds | int) (ceil $drain.seconds | int) (ceil $drain.shutdownSeconds | int) (int $drain.marginSeconds) -}}
{{- end -}}

{{/* How long a proxy must keep a silent connection: longer than two pings, and never under a minute. */}}
{{- define "notify.idleTimeoutSeconds" -}}
{{- max 60 (mulf 2 (addf .Values.ping.intervalSeconds .Values.ping.timeoutSeconds) | ceil | int) -}}
{{- end -}}

{{- define "notify.kubeVersion" -}}
{{- .Values.kubeVersionOverride | default .Capabilities.KubeVersion.Version -}}
{{- end -}}

{{- define "notify.jwtSecretName" -}}
{{- .Values.auth.jwt.existingSecret.name | default (printf "%s-auth" (include "notify.fullname" .)) -}}
{{- end -}}

{{- define "notify.apiKeysSecretName" -}}
{{- .Values.auth.apiKeys.existingSecret.name | default (printf "%s-auth" (include "notify.fullname" .)) -}}
{{- end -}}

{{/* A shared secret signs the tokens unless a public key or a JWKS checks them; non-empty means true. */}}
{{- define "notify.usesJwtSecret" -}}
{{- if or .Values.auth.jwt.existingSecret.name (not (or .Values.auth.jwt.jwksUrl .Values.auth.jwt.publicKey)) -}}true{{- end -}}
{{- end -}}

{{- define "notify.generatesJwtSecret" -}}
{{- if and (include "notify.usesJwtSecret" .) (not .Values.auth.jwt.existingSecret.name) -}}true{{- end -}}
{{- end -}}

{{- define "notify.generatesAuth" -}}
{{- if or (include "notify.generatesJwtSecret" .) (not .Values.auth.apiKeys.existingSecret.name) -}}true{{- end -}}
{{- end -}}

{{/*
One generated value: what the cluster already holds, else a new random one. It is remembered for the rest of this
rendering (in .Values, the only thing all templates share), or the checksum on the pods would be of another random
value than the Secret's. Called with (dict "root" $ "secret" name "key" key "length" n).
*/}}
{{- define "notify.generated" -}}
{{- $root := .root -}}
{{- $memory := $root.Values.generatedInThisRendering | default dict -}}
{{- $place := printf "%s/%s" .secret .key -}}
{{- if not (hasKey $memory $place) -}}
{{- $found := lookup "v1" "Secret" $root.Release.Namespace .secret | default dict -}}
{{- $old := get ($found.data | default dict) .key -}}
{{- $_ := set $memory $place (ternary ($old | b64dec) (randAlphaNum (int .length)) (not (empty $old))) -}}
{{- $_ := set $root.Values "generatedInThisRendering" $memory -}}
{{- end -}}
{{- get $memory $place -}}
{{- end -}}

{{/* The Valkey inside the release, unless another one is named; non-empty means true. */}}
{{- define "notify.valkeyEnabled" -}}
{{- $redis := .Values.redis -}}
{{- if and .Values.valkey.enabled (not (or $redis.host $redis.sentinel.nodes $redis.urlSecret.name)) -}}true{{- end -}}
{{- end -}}

{{- define "notify.valkeyName" -}}
{{- printf "%s-valkey" (include "notify.fullname" .) -}}
{{- end -}}

{{- define "notify.valkeySecretName" -}}
{{- .Values.valkey.existingSecret | default (include "notify.valkeyName" .) -}}
{{- end -}}

{{- define "notify.redisTls" -}}
{{- if and (not (include "notify.valkeyEnabled" .)) .Values.redis.tls.enabled -}}true{{- end -}}
{{- end -}}

{{/* The Secret whose one key is the whole URL, password included; empty when the URL is put together in the pod. */}}
{{- define "notify.redisUrlSecretName" -}}
{{- if include "notify.valkeyEnabled" . -}}
{{- include "notify.valkeySecretName" . -}}
{{- else -}}
{{- .Values.redis.urlSecret.name -}}
{{- end -}}
{{- end -}}

{{/* The kubelet fills in $(REDIS_PASSWORD): the password itself stands in a Secret only. */}}
{{- define "notify.redisUrl" -}}
{{- $redis := .Values.redis -}}
{{- $login := "" -}}
{{- if $redis.passwordSecret.name -}}
{{- $login = printf "%s:$(REDIS_PASSWORD)@" $redis.username -}}
{{- end -}}
{{- $query := "" -}}
{{- if and (include "notify.redisTls" .) $redis.tls.caSecret.name -}}
{{- $query = "?ssl_ca_certs=/etc/notify/redis-ca/ca.crt" -}}
{{- end -}}
{{- $scheme := ternary "rediss" "redis" $redis.tls.enabled -}}
{{- if $redis.sentinel.nodes -}}
{{- printf "%s+sentinel://%s%s/%d/%s%s" $scheme $login (join "," $redis.sentinel.nodes) (int $redis.database) $redis.sentinel.master $query -}}
{{- else -}}
{{- printf "%s://%s%s:%d/%d%s" $scheme $login $redis.host (int $redis.port) (int $redis.database) $query -}}
{{- end -}}
{{- end -}}
