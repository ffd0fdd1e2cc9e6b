#!/bin/sh
# Definitions of resources that operators bring, from the operators' own Go modules, into the folder that is named.
set -eu
folder=$1
mkdir -p "$folder"

take() { # module@version, files in it
    # Its sum is checked against Go's public log.
    place=$(go mod download -json "$1" | sed -n 's/.*"Dir": "\(.*\)".*/\1/p')
    shift
    for file in "$@"; do
        install -m 644 "$place/$file" "$folder/"
    done
}

take github.com/kedacore/keda/v2@v2.20.2 \
    config/crd/bases/keda.sh_scaledobjects.yaml config/crd/bases/keda.sh_triggerauthentications.yaml
take github.com/prometheus-operator/prometheus-operator@v0.85.0 \
    example/prometheus-operator-crd/monitoring.coreos.com_podmonitors.yaml \
    example/prometheus-operator-crd/monitoring.coreos.com_prometheusrules.yaml
take sigs.k8s.io/karpenter@v1.14.0 pkg/apis/crds/karpenter.sh_nodepools.yaml
