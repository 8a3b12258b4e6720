{{/*
Secrets reach the server as files, by the _FILE form of its settings: an environment is inherited and shows up in
crash reports. Only a URL that must be put together with a password from another Secret stays in the environment.
*/}}
{{- define "notify.secretEnvironment" -}}
{{- if include "notify.usesJwtSecret" . }}
- name: NOTIFY_JWT_SECRET_FILE
  value: /etc/notify/secrets/jwt-secret
{{- end }}
- name: NOTIFY_API_KEYS_FILE
  value: /etc/notify/secrets/api-keys
{{- if include "notify.redisUrlSecretName" . }}
- name: NOTIFY_REDIS_URL_FILE
  value: /etc/notify/secrets/redis-url
{{- else }}
{{- with .Values.redis.passwordSecret }}
{{- if .name }}
# Before NOTIFY_REDIS_URL: only what is already known is filled in.
- name: REDIS_PASSWORD
  valueFrom:
    secretKeyRef:
      name: {{ .name }}
      key: {{ .key }}
{{- end }}
{{- end }}
- name: NOTIFY_REDIS_URL
  value: {{ include "notify.redisUrl" . | quote }}
{{- end }}
{{- end -}}

{{- define "notify.secretMounts" -}}
- name: secrets
  mountPath: /etc/notify/secrets
  readOnly: true
{{- if and (include "notify.redisTls" .) .Values.redis.tls.caSecret.name }}
- name: redis-ca
  mountPath: /etc/notify/redis-ca
  readOnly: true
{{- end }}
{{- end -}}

{{/* Sources of a projected volume: what signs tokens, and the API keys. */}}
{{- define "notify.authSources" -}}
{{- if include "notify.usesJwtSecret" . -}}
- secret:
    name: {{ include "notify.jwtSecretName" . }}
    items:
      - key: {{ .Values.auth.jwt.existingSecret.name | empty | ternary "jwt-secret" .Values.auth.jwt.existingSecret.key }}
        path: jwt-secret
{{ end -}}
- secret:
    name: {{ include "notify.apiKeysSecretName" . }}
    items:
      - key: {{ .Values.auth.apiKeys.existingSecret.name | empty | ternary "api-keys" .Values.auth.apiKeys.existingSecret.key }}
        path: api-keys
{{- end -}}

{{- define "notify.secretVolumes" -}}
- name: secrets
  projected:
    defaultMode: 0440
    sources:
      {{- include "notify.authSources" . | nindent 6 }}
      {{- with include "notify.redisUrlSecretName" . }}
      - secret:
          name: {{ . }}
          items:
            - key: {{ include "notify.valkeyEnabled" $ | empty | not | ternary "redis-url" $.Values.redis.urlSecret.key }}
              path: redis-url
      {{- end }}
{{- if and (include "notify.redisTls" .) .Values.redis.tls.caSecret.name }}
- name: redis-ca
  secret:
    secretName: {{ .Values.redis.tls.caSecret.name }}
    items:
      - key: {{ .Values.redis.tls.caSecret.key }}
        path: ca.crt
{{- end }}
{{- end -}}

{{/*
Rolls the pods when a Secret they read has changed. For Secrets of your own that works at the next `helm upgrade`
against a cluster; where Helm only renders (GitOps), change an annotation in podAnnotations instead.
*/}}
{{- define "notify.secretsChecksum" -}}
{{- $parts := list -}}
{{- $auth := printf "%s-auth" (include "notify.fullname" .) -}}
{{- if include "notify.generatesJwtSecret" . -}}
{{- $parts = append $parts (include "notify.generated" (dict "root" $ "secret" $auth "key" "jwt-secret" "length" 64)) -}}
{{- end -}}
{{- if not .Values.auth.apiKeys.existingSecret.name -}}
{{- $parts = append $parts (include "notify.generated" (dict "root" $ "secret" $auth "key" "api-keys" "length" 48)) -}}
{{- end -}}
{{- if and (include "notify.valkeyEnabled" .) (not .Values.valkey.existingSecret) -}}
{{- $parts = append $parts (include "notify.valkeyPassword" .) -}}
{{- end -}}
{{- $names := list .Values.auth.jwt.existingSecret.name .Values.auth.apiKeys.existingSecret.name .Values.valkey.existingSecret
      .Values.redis.urlSecret.name .Values.redis.passwordSecret.name .Values.redis.tls.caSecret.name -}}
{{- range $name := compact $names | uniq -}}
{{- $found := lookup "v1" "Secret" $.Release.Namespace $name | default dict -}}
{{- $parts = append $parts ($found.data | default dict | toJson) -}}
{{- end -}}
{{- join "\n" $parts | sha256sum -}}
{{- end -}}

{{- define "notify.valkeyPassword" -}}
{{- include "notify.generated" (dict "root" . "secret" (include "notify.valkeyName" .) "key" "redis-password" "length" 48) -}}
{{- end -}}
