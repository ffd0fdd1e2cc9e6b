// Command formula evaluates a ScaledObject's formula as KEDA 2.20.2 does: with the library that KEDA uses, compiled against the
// triggers' names as its admission webhook compiles it, and cast as it casts results.
//
// Input: {"formula": "...", "triggers": ["lag"], "cases": [{"lag": 1}, {"lag": null}]}. Output: a list of numbers and nulls.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"

	"github.com/expr-lang/expr"
)

type question struct {
	Formula  string
	Triggers []string
	Cases    []map[string]any
}

// As castToFloatIfNecessary of apis/keda/v1alpha1/scaledobject_webhook.go.
func cast(formula string) string {
	if strings.Contains(formula, "??") {
		return fmt.Sprintf("let _kedaCompositeResult = (%s); _kedaCompositeResult == nil ? nil : float(_kedaCompositeResult)", formula)
	}
	return "float(" + formula + ")"
}

func answer() error {
	var asked question
	if err := json.NewDecoder(os.Stdin).Decode(&asked); err != nil {
		return err
	}
	names := map[string]float64{}
	for _, name := range asked.Triggers {
		names[name] = -1
	}
	program, err := expr.Compile(cast(asked.Formula), expr.Env(names))
	if err != nil {
		return err
	}
	if _, err := expr.Run(program, names); err != nil {
		return err
	}
	results := []any{}
	for _, values := range asked.Cases {
		result, err := expr.Run(program, values)
		if err != nil {
			return err
		}
		results = append(results, result)
	}
	return json.NewEncoder(os.Stdout).Encode(results)
}

func main() {
	if err := answer(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
