{{/* Mistakes that a schema cannot see, one a line, and in production what is unsafe there. All are named at once. */}}
{{- define "notify.check" -}}
{{- $faults := concat (include "notify.mistakes" . | fromYamlArray) (include "notify.unsafe" . | fromYamlArray) -}}
{{- with $faults -}}
{{- fail (printf "these values cannot be used:\n- %s" (join "\n- " .)) -}}
{{- end -}}
{{- end -}}

{{- define "notify.mistakes" -}}
{{- $redis := .Values.redis -}}
{{- if not (or .Values.valkey.enabled $redis.host $redis.sentinel.nodes $redis.urlSecret.name) }}
- "Redis: set redis.host, redis.sentinel.nodes or redis.urlSecret.name, or valkey.enabled=true for a small one inside this release"
{{- end }}
{{- $jwt := .Values.auth.jwt -}}
{{- if gt (len (compact (list $jwt.existingSecret.name $jwt.jwksUrl $jwt.publicKey))) 1 }}
- "auth.jwt: set only one of existingSecret.name, publicKey and jwksUrl"
{{- end }}
{{- if and .Values.autoscaling.enabled (gt (int .Values.autoscaling.minReplicas) (int .Values.autoscaling.maxReplicas)) }}
- "autoscaling.minReplicas is larger than autoscaling.maxReplicas"
{{- end }}
{{- if and .Values.gatewayApi.enabled (not .Values.gatewayApi.parentRefs) }}
- "gatewayApi.enabled=true needs gatewayApi.parentRefs: the Gateway that the route belongs to"
{{- end }}
{{- if and .Values.service.public.nodePort (eq .Values.service.public.type "ClusterIP") }}
- "service.public.nodePort needs service.public.type NodePort or LoadBalancer"
{{- end }}
{{- if ne .Values.service.public.type "LoadBalancer" }}
{{- if or .Values.service.public.loadBalancerClass .Values.service.public.loadBalancerSourceRanges }}
- "service.public.loadBalancerClass and loadBalancerSourceRanges need service.public.type=LoadBalancer"
{{- end }}
{{- end }}
{{- end -}}

{{/* A fault of production, unless its name is among those that were accepted. Called with (list $ name sentence). */}}
{{- define "notify.refuse" -}}
{{- if not (has (index . 1) (index . 0).Values.production.except) }}
- {{ printf "production: %s (or accept it: production.except=[%s])" (index . 2) (index . 1) | quote }}
{{- end }}
{{- end -}}

{{- define "notify.unsafe" -}}
{{- if .Values.production.enabled -}}
{{- $values := .Values -}}
{{- $valkey := include "notify.valkeyEnabled" . -}}
{{- if not $values.auth.apiKeys.existingSecret.name -}}
{{- include "notify.refuse" (list $ "generatedApiKeys" "name a Secret with your API keys in auth.apiKeys.existingSecret.name; generated ones change at each rendering where Helm cannot see the cluster") -}}
{{- end -}}
{{- if include "notify.generatesJwtSecret" . -}}
{{- include "notify.refuse" (list $ "generatedJwtSecret" "name what signs the clients' tokens in auth.jwt.existingSecret.name, jwksUrl or publicKey; a generated secret changes at each rendering where Helm cannot see the cluster, and sends everybody away") -}}
{{- end -}}
{{- if hasPrefix "http://" $values.auth.jwt.jwksUrl -}}
{{- include "notify.refuse" (list $ "plainJwks" "auth.jwt.jwksUrl is not https: who can change the answer can sign tokens") -}}
{{- end -}}
{{- if and (or $values.auth.jwt.jwksUrl $values.auth.jwt.publicKey) (not (and $values.auth.jwt.issuer $values.auth.jwt.audience)) -}}
{{- include "notify.refuse" (list $ "anyAudience" "set auth.jwt.issuer and auth.jwt.audience: else a token for another service opens this one") -}}
{{- end -}}
{{- if and $valkey (not $values.valkey.existingSecret) -}}
{{- include "notify.refuse" (list $ "generatedRedisPassword" "name a Secret in valkey.existingSecret, or a Redis of your own in redis") -}}
{{- end -}}
{{- if and $valkey (not $values.valkey.persistence.enabled) -}}
{{- include "notify.refuse" (list $ "forgetfulRedis" "valkey.persistence.enabled=false: a restarted Valkey has forgotten every notification") -}}
{{- end -}}
{{- if and (or $values.redis.host $values.redis.sentinel.nodes) (not $values.redis.urlSecret.name) (not $values.redis.passwordSecret.name) -}}
{{- include "notify.refuse" (list $ "openRedis" "name the Secret with the password of Redis in redis.passwordSecret.name: who reaches it without one reads and writes every notification") -}}
{{- end -}}
{{- if and $values.ingress.enabled (not $values.ingress.tls) -}}
{{- include "notify.refuse" (list $ "plainIngress" "set ingress.tls: without it tokens travel in the open") -}}
{{- end -}}
{{- if ne $values.service.public.type "ClusterIP" -}}
{{- include "notify.refuse" (list $ "publicService" (printf "service.public.type=%s leads to a port without TLS: put an Ingress or a Gateway before it, or see to it that the load balancer ends TLS" $values.service.public.type)) -}}
{{- end -}}
{{- if lt (int (ternary $values.autoscaling.minReplicas $values.replicaCount $values.autoscaling.enabled)) 2 -}}
{{- include "notify.refuse" (list $ "singlePod" "set replicaCount (autoscaling.minReplicas) to 2 or more: else a lost machine is an outage") -}}
{{- end -}}
{{- if not $values.podDisruptionBudget.enabled -}}
{{- include "notify.refuse" (list $ "noDisruptionBudget" "podDisruptionBudget.enabled=false: all pods may be taken away at once") -}}
{{- end -}}
{{- if not $values.networkPolicy.enabled -}}
{{- include "notify.refuse" (list $ "noNetworkPolicy" "networkPolicy.enabled=false: every pod of the cluster reaches the internal port, and Redis") -}}
{{- end -}}
{{- if has "*" (splitList "," (toString $values.settings.CORS_ORIGINS | nospace)) -}}
{{- include "notify.refuse" (list $ "anyOrigin" "settings.CORS_ORIGINS=*: pages of every origin may connect; name yours") -}}
{{- end -}}
{{- if and (not $values.image.digest) (eq $values.image.tag "latest") -}}
{{- include "notify.refuse" (list $ "movingImage" "image.tag=latest: a restarted pod may be of another version; name one, or image.digest") -}}
{{- end -}}
{{- if not (dig "limits" "memory" "" $values.resources) -}}
{{- include "notify.refuse" (list $ "noMemoryLimit" "set resources.limits.memory: else one pod takes the machine's memory from all others") -}}
{{- end -}}
{{- $pod := $values.podSecurityContext -}}
{{- $container := $values.containerSecurityContext -}}
{{- if or (not $pod.runAsNonRoot) (and (hasKey $container "runAsNonRoot") (not $container.runAsNonRoot)) $container.privileged (not (eq (toString $container.allowPrivilegeEscalation) "false")) -}}
{{- include "notify.refuse" (list $ "privileged" "podSecurityContext.runAsNonRoot must be true and containerSecurityContext.allowPrivilegeEscalation false, without privileged") -}}
{{- end -}}
{{- end -}}
{{- end -}}
