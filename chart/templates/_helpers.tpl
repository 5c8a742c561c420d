{{- /* What a pod of the service is found by. */}}
{{- define "agents.matchLabels" -}}
app.kubernetes.io/name: jupyterhub-agents
app.kubernetes.io/instance: {{ .Release.Name | quote }}
app.kubernetes.io/component: agents
{{- end }}

{{- define "agents.labels" -}}
{{ include "agents.matchLabels" . }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{- /* The secret with hub-token and run-key, and the passwords where people sign in by one. */}}
{{- define "agents.secret" -}}
{{ .Values.secrets.existingSecret | default "agents" }}
{{- end }}

{{- define "agents.scales" -}}
{{- if eq .Values.store.backend "firestore" }}true{{ end }}
{{- end }}

{{- define "agents.bySharedPassword" -}}
{{- if eq (dig "hub" "config" "AgentHub" "sign_in" "shared-password" .Values.jupyterhub) "shared-password" }}true{{ end }}
{{- end }}

{{- /* Where the service reaches what people reach in their browsers. With letsencrypt proxy-public only redirects to https. */}}
{{- define "agents.hubUrl" -}}
{{- $https := dig "proxy" "https" (dict) .Values.jupyterhub }}
{{- if .Values.service.hubUrl }}
{{- .Values.service.hubUrl }}
{{- else if and (dig "enabled" false $https) (eq (dig "type" "letsencrypt" $https) "letsencrypt") }}
{{- "http://proxy-http:8000/" }}
{{- else }}
{{- "http://proxy-public/" }}
{{- end }}
{{- end }}

{{- /* The service's settings as traits. The site's own words win. */}}
{{- define "agents.config" -}}
{{- $gateway := dict "upstream" .Values.model.upstream }}
{{- if eq .Values.model.upstream "vertex" }}
{{- $_ := set $gateway "vertex_project" .Values.model.vertexProject }}
{{- $_ := set $gateway "vertex_region" .Values.model.vertexRegion }}
{{- else if .Values.model.baseUrl }}
{{- $_ := set $gateway "anthropic_base_url" .Values.model.baseUrl }}
{{- end }}
{{- $service := dict "stop_timeout_s" .Values.service.stopSeconds }}
{{- $config := dict "AgentsService" $service "Gateway" $gateway }}
{{- if include "agents.scales" . }}
{{- /* The connections that callers keep open end before the replica does. */}}
{{- $_ := set $service "drain_s" 5 }}
{{- $keeping := dict "firestore_project" .Values.store.firestoreProject "firestore_database" .Values.store.firestoreDatabase }}
{{- $_ := set $config "Keeping" $keeping }}
{{- end }}
{{- mergeOverwrite $config (deepCopy .Values.service.config) | toJson }}
{{- end }}

{{- /* The internet: everything but addresses that lead to nobody outside (IANA's registry of special-purpose addresses, RFC
6890), the metadata server among them (169.254.0.0/16), what the site denies, and the API server's own addresses, which can be
public. A cluster tells of these when the chart is installed; `helm template` knows none. IPv6 is denied altogether. */}}
{{- define "agents.internet" -}}
{{- $denied := list "0.0.0.0/8" "10.0.0.0/8" "100.64.0.0/10" "127.0.0.0/8" "169.254.0.0/16" "172.16.0.0/12" "192.0.0.0/24" "192.168.0.0/16" "198.18.0.0/15" "224.0.0.0/4" "240.0.0.0/4" }}
{{- $denied = concat $denied .Values.networkPolicy.denied }}
{{- if .Values.networkPolicy.findApiServer }}
{{- range (lookup "discovery.k8s.io/v1" "EndpointSlice" "default" "kubernetes").endpoints }}
{{- range .addresses }}
{{- if not (contains ":" .) }}{{ $denied = append $denied (printf "%s/32" .) }}{{ end }}
{{- end }}
{{- end }}
{{- $service := lookup "v1" "Service" "default" "kubernetes" }}
{{- if $service }}
{{- range $service.spec.clusterIPs }}
{{- if not (contains ":" .) }}{{ $denied = append $denied (printf "%s/32" .) }}{{ end }}
{{- end }}
{{- end }}
{{- end }}
ipBlock:
  cidr: 0.0.0.0/0
  except:
    {{- $denied | uniq | toYaml | nindent 4 }}
{{- end }}

{{- define "agents.dns" -}}
- to:
    {{- .Values.networkPolicy.dns | toYaml | nindent 4 }}
  ports:
    - { port: 53, protocol: UDP }
    - { port: 53, protocol: TCP }
{{- end }}
