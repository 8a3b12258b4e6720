{{/* Every setting that is no secret, as NOTIFY_* names. `settings` comes last and may not repeat one of the others. */}}
{{- define "notify.environment" -}}
{{- $env := dict
      "HOST" "0.0.0.0"
      "PORT" (toString .Values.ports.public)
      "INTERNAL_HOST" "0.0.0.0"
      "INTERNAL_PORT" (toString .Values.ports.internal)
      "REDIS_PREFIX" .Values.redis.prefix
      "PING_INTERVAL" (toString .Values.ping.intervalSeconds)
      "PING_TIMEOUT" (toString .Values.ping.timeoutSeconds)
      "DRAIN_DELAY" (toString .Values.drain.delaySeconds)
      "DRAIN_SECONDS" (toString .Values.drain.seconds)
      "SHUTDOWN_SECONDS" (toString .Values.drain.shutdownSeconds)
      "LOG_FORMAT" .Values.log.format
      "LOG_LEVEL" .Values.log.level -}}
{{- $jwt := .Values.auth.jwt -}}
{{- range $name, $value := dict
      "JWT_JWKS_URL" $jwt.jwksUrl
      "JWT_PUBLIC_KEY" $jwt.publicKey
      "JWT_ISSUER" $jwt.issuer
      "JWT_AUDIENCE" $jwt.audience
      "JWT_ALGORITHMS" (join "," $jwt.algorithms) -}}
{{- if $value -}}{{- $_ := set $env $name $value -}}{{- end -}}
{{- end -}}
{{- range $name, $value := .Values.settings -}}
{{- if hasKey $env $name -}}
{{- fail (printf "settings.%s: this one has a value of its own in values.yaml; set it there" $name) -}}
{{- end -}}
{{- if has $name (list "JWT_SECRET" "API_KEYS" "REDIS_URL" "NODE_ID" "ADVERTISE_URL" "DATA_DIR") -}}
{{- fail (printf "settings.%s: comes from a Secret or from the pod, never from a ConfigMap" $name) -}}
{{- end -}}
{{- /* Numbers of YAML are floats: toString would write 1048576 as 1.048576e+06, JSON does not. */ -}}
{{- $_ := set $env $name (ternary (toJson $value) (toString $value) (kindIs "float64" $value)) -}}
{{- end -}}
{{- range $name, $value := $env }}
NOTIFY_{{ $name }}: {{ $value | quote }}
{{- end }}
{{- end -}}
