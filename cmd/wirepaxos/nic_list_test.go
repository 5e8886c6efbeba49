package main

import (
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"testing"

	"wirepaxos/tools/nic"
)

// Every field of the JSON is documented by its path, and nothing is documented that is not there.
func TestNICListFields(t *testing.T) {
	var documented []string
	for line := range strings.Lines(nicListFields) {
		if !strings.HasPrefix(line, "  ") {
			continue
		}
		names, _, _ := strings.Cut(strings.TrimSpace(line), "  ")
		documented = append(documented, strings.Split(names, ", ")...)
	}
	fields := fieldPaths(reflect.TypeFor[nic.Interface](), "")
	fields = append(fields, "program") // which may be null
	slices.Sort(documented)
	slices.Sort(fields)
	if !slices.Equal(documented, fields) {
		t.Errorf("documented:\n%s\nthere:\n%s", strings.Join(documented, "\n"), strings.Join(fields, "\n"))
	}
	status, text, _ := runProgram(t, "nic", "list", "--help")
	if status != 0 || !strings.Contains(text, nicListFields) {
		t.Errorf("status %d, and the fields are not in the help:\n%s", status, text)
	}
}

// fieldPaths are the paths of all fields of a type's JSON that hold no other fields, like "holders[].queue".
func fieldPaths(of reflect.Type, before string) (paths []string) {
	for of.Kind() == reflect.Pointer {
		of = of.Elem()
	}
	if of.Kind() == reflect.Slice && of.Elem().Kind() == reflect.Struct {
		return fieldPaths(of.Elem(), before+"[]")
	}
	if of.Kind() != reflect.Struct {
		return []string{before}
	}
	for i := range of.NumField() {
		name := of.Field(i).Tag.Get("json")
		if name == "-" {
			continue
		}
		if before != "" {
			name = before + "." + name
		}
		paths = append(paths, fieldPaths(of.Field(i).Type, name)...)
	}
	return paths
}

// The shape does not depend on what there is: no field is left out, and no list is null.
func TestNICListShape(t *testing.T) {
	status, text, stderr := runProgram(t, "nic", "list", "--json")
	if status != 0 {
		t.Fatalf("status %d: %s", status, stderr)
	}
	var all []map[string]any
	if err := json.Unmarshal([]byte(text), &all); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	kind := reflect.TypeFor[nic.Interface]()
	for _, one := range all {
		for i := range kind.NumField() {
			name := kind.Field(i).Tag.Get("json")
			value, there := one[name]
			if strings.Contains(name, ",") || !there || value == nil && name != "program" {
				t.Errorf("%v: %s is missing, or null: %v", one["name"], name, value)
			}
		}
		if len(one) != kind.NumField() {
			t.Errorf("%v has %d fields, want %d", one["name"], len(one), kind.NumField())
		}
	}
}
