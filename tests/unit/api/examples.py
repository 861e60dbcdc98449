"""Legal objects: the least that can be written, and one with every field set to something that is not its default."""

from typing import Any

import yaml

Object = dict[str, Any]


def _parse(text: str) -> Object:
    obj: Object = yaml.safe_load(text)
    return obj


MINIMAL_POLICY = _parse("""
apiVersion: gateway.keeptrusts.com/v1alpha1
kind: GatewayPolicy
metadata: {name: support, namespace: platform}
spec:
  config: {pack: {name: support-gateway, version: 1.4.0, enabled: true}}
""")

FULL_POLICY = _parse("""
apiVersion: gateway.keeptrusts.com/v1alpha1
kind: GatewayPolicy
metadata: {name: support, namespace: platform}
spec:
  config: {pack: {name: support-gateway, version: 1.4.0, enabled: true}}
  validation: Strict
  expectedBlockRateIncrease: 1.5%
  expectedBlockRateDecrease: 2%
  tests:
  - name: plain-question
    messages: [{role: user, content: "How do I reset my password?"}]
    expect: Block
    errorCode: input_blocked
    model: gpt-4o
""")

CONFIG_FROM_POLICY = _parse("""
apiVersion: gateway.keeptrusts.com/v1alpha1
kind: GatewayPolicy
metadata: {name: support, namespace: platform}
spec:
  configFrom: {configMapKeyRef: {name: support-policy, key: support.yaml}}
""")

MINIMAL_DEPLOYMENT = _parse("""
apiVersion: gateway.keeptrusts.com/v1alpha1
kind: GatewayDeployment
metadata: {name: kt-gateway, namespace: platform}
spec:
  policyRef: {name: support}
  template: {spec: {containers: [{name: gateway, image: 'keeptrusts/gateway:2.3.1'}]}}
""")

CUSTOM_DEPLOYMENT = _parse("""
apiVersion: gateway.keeptrusts.com/v1alpha1
kind: GatewayDeployment
metadata: {name: kt-gateway, namespace: platform}
spec:
  policyRef: {name: support}
  gateway: {profile: Custom, port: 4000, configFile: /app/config.yaml, args: [--config, $(CONFIG_FILE)]}
  template: {spec: {containers: [{name: gateway, image: 'litellm:1'}]}}
  circuitBreaker: {mode: 'Off'}
""")

FULL_DEPLOYMENT = _parse("""
apiVersion: gateway.keeptrusts.com/v1alpha1
kind: GatewayDeployment
metadata: {name: kt-gateway, namespace: platform}
spec:
  policyRef: {name: support}
  replicas: 5
  gateway:
    profile: Custom
    port: 4000
    configFile: /app/config.yaml
    args: [--config, $(CONFIG_FILE)]
    scheme: https
    caBundleRef: {name: gateway-ca, key: bundle.pem}
    health: {livenessPath: /live, readinessPath: /ready, statusPath: /status}
    loadedConfig: {path: /config, name: /name, version: /version}
    chatPath: /chat/completions
    blockedStatus: [403, 451]
    authorization: {secretKeyRef: {name: gateway-key, key: token}}
    metrics:
      path: /prometheus
      decisions:
        {counter: d_total, label: d, blocked: [b], allowed: [a], redacted: [r], escalated: [e], flagged: [f], countedAt: Arrival}
      latency: {histogram: seconds}
      providerErrors: {counter: p_total, label: p, values: [error]}
  template:
    metadata: {labels: {team: platform}, annotations: {note: hello}}
    spec:
      containers:
      - {name: sidecar, image: 'proxy:1'}
      - {name: gateway, image: 'litellm:1'}
  rollout:
    paused: true
    steps: [{weight: 5%, minDuration: 20s}, {weight: 20%, minDuration: 2m}]
    stepDeadline: 20m
    onInconclusive: Promote
    progressDeadline: 6m
    soak: {duration: 1h, standbyReplicas: 50%}
    drainSeconds: 3
    connectionDrainTimeout: 90s
    maxShare: 40%
    trafficRouting: {type: Replicas}
  circuitBreaker:
    mode: Hold
    falseRollbackProbability: "0.01"
    tolerance: {ratio: "2", points: 1%}
    minBlocked: 4
    burst: "2.5"
    source:
      type: Prometheus
      prometheus:
        url: https://prometheus.monitoring:9090
        requestsQuery: 'sum(requests_total{revision="$revision"})'
        blockedQuery: 'sum(requests_total{revision="$revision",decision="block"})'
    onUnverifiable: Hold
  health:
    latencyP99: {warning: 2s, critical: 20s}
    blockRate: {warning: 20%, critical: 40%}
    providerErrors: {warning: 1%, critical: 10%}
    escalations: {warning: 10, critical: 30}
    ingestionLag: {warning: 2m, critical: 10m}
  passthrough:
    maxDuration: 2h
    soloDuration: 10m
    twoPerson: Before
    standbyReplicas: 1
    neverBypass: [pii-detector]
    unattributed: Accept
    identityPattern: oidc:(.*)
    ticketPattern: INC-[0-9]+
    rearm: {maxDuration: 3m}
    budgetWindow: 12h
    incidentRetention: 720h
    document: {guardrails: []}
  controlPlane:
    url: https://api.keeptrusts.example
    tokenSecretRef: {name: control-plane, key: token}
    configurationId: cfg_1
    gatewayId: gw_1
  service: {adopt: true, type: NodePort, annotations: {note: hello}}
  adoptFrom: {deploymentRef: {name: old-gateway}}
  podDisruptionBudget: {minAvailable: 1}
  protections: {required: [pii-detector]}
  revisionHistoryLimit: 5
""")
