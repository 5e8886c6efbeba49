package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// apt is apt-get with sources, lists and cache of its own: the machine's are not touched. What is installed on the machine it knows, so that it
// fetches of QEMU's libraries only those that are missing.
type apt struct {
	folder string
	suite  string
}

// sayEvery is how often it is told how much has been fetched.
const sayEvery = 2 * time.Second

// newApt writes the configuration below folder. The mirror is the one that the machine's own sources name.
func newApt(folder, suite string) (*apt, error) {
	for _, tool := range []string{"apt-get", "apt-cache", "dpkg-deb"} {
		if _, err := exec.LookPath(tool); err != nil {
			return nil, missing("it is made of Debian packages, and there is no %s", tool)
		}
	}
	all, err := readSources("/etc/apt")
	if err != nil {
		return nil, fmt.Errorf("read apt's sources: %w", err)
	}
	ours := debianOnly(all)
	if len(ours) == 0 {
		return nil, missing("it is made of Debian packages, and no source below /etc/apt is a mirror of Debian")
	}
	var list strings.Builder
	for _, s := range ours {
		for _, suite := range s.suites {
			list.WriteString(s.line(suite))
		}
	}
	if !strings.Contains(list.String(), " "+suite+" ") {
		list.WriteString(ours[0].line(suite))
	}
	a := &apt{folder: filepath.Join(folder, "apt"), suite: suite}
	for _, sub := range []string{"lists/partial", "archives/partial", "parts"} {
		if err := os.MkdirAll(filepath.Join(a.folder, sub), 0o755); err != nil {
			return nil, err
		}
	}
	configuration := fmt.Sprintf(`Dir::Etc::SourceList "%[1]s/sources.list";
Dir::Etc::SourceParts "%[1]s/parts";
Dir::Etc::Preferences "%[1]s/preferences";
Dir::Etc::PreferencesParts "%[1]s/parts";
Dir::State::Lists "%[1]s/lists";
Dir::Cache "%[1]s";
Dir::Cache::Archives "%[1]s/archives";
Acquire::Languages "none";
Acquire::IndexTargets::deb::DEP-11::DefaultEnabled "false";
Acquire::http::Timeout "20";
Acquire::https::Timeout "20";
Acquire::Retries "2";
APT::Sandbox::User "";
APT::Install-Recommends "false";
Debug::NoLocking "true";
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
#clear DPkg::Post-Invoke;
`, a.folder)
	for name, text := range map[string]string{"sources.list": list.String(), "apt.conf": configuration} {
		if err := os.WriteFile(filepath.Join(a.folder, name), []byte(text), 0o644); err != nil {
			return nil, err
		}
	}
	return a, nil
}

// run runs one of apt's commands in the folder of the archives and gives what it said.
func (a *apt) run(ctx context.Context, name string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = filepath.Join(a.folder, "archives")
	cmd.Env = append(os.Environ(), "APT_CONFIG="+filepath.Join(a.folder, "apt.conf"), "LC_ALL=C.UTF-8")
	output, err := cmd.CombinedOutput()
	if err != nil {
		return output, fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, tail(output))
	}
	return output, nil
}

// update fetches the lists of packages.
func (a *apt) update(ctx context.Context, say func(string, ...any)) error {
	defer a.watch("lists of packages", "lists", 0, say)()
	output, err := a.run(ctx, "apt-get", "-q", "--error-on=any", "update")
	if strings.Contains(string(output), "--error-on") { // older than apt 2.1: a mirror that does not answer shows later
		output, err = a.run(ctx, "apt-get", "-q", "update")
	}
	if err != nil {
		return missing("the lists of packages cannot be fetched: %s", tail(output))
	}
	return nil
}

// watch tells now and then how much is there; total is how much it will be, 0 if unknown. Its result ends it.
func (a *apt) watch(what, sub string, total float64, say func(string, ...any)) (stop func()) {
	done := make(chan struct{})
	go func() {
		tick := time.NewTicker(sayEvery)
		defer tick.Stop()
		for {
			select {
			case <-done:
				return
			case <-tick.C:
				of := ""
				if total > 0 {
					of = fmt.Sprintf(" of %.0f", total)
				}
				say("  %s: %.0f%s MB", what, megabytes(filepath.Join(a.folder, sub)), of)
			}
		}
	}()
	return func() { close(done) }
}

var kernelPackage = regexp.MustCompile(`(?m)^linux-binary-(((\d+)\.(\d+))\S*-cloud-amd64)(?: -.*)?$`)

// newestKernel is the version of the newest kernel that the lists have.
func (a *apt) newestKernel(ctx context.Context) (string, error) {
	output, err := a.run(ctx, "apt-cache", "search", "--names-only", "^linux-binary-.*-cloud-amd64$")
	if err != nil {
		return "", err
	}
	best, newest := "", leastKernel
	for _, found := range kernelPackage.FindAllStringSubmatch(string(output), -1) {
		major, _ := strconv.Atoi(found[3])
		minor, _ := strconv.Atoi(found[4])
		version := [2]int{major, minor}
		if order := slices.Compare(version[:], newest[:]); order > 0 || order == 0 && found[1] > best {
			best, newest = found[1], version
		}
	}
	if best == "" {
		return "", missing("%s of the machine's mirror has no kernel of %d.%d or newer: name another suite with -suite", a.suite, leastKernel[0], leastKernel[1])
	}
	return best, nil
}

var packageURI = regexp.MustCompile(`(?m)^'[^']+' (\S+\.deb) (\d+) `)

// download fetches the packages and names their files: those of the kernel alone, and QEMU with what it needs and the machine has not.
func (a *apt) download(ctx context.Context, kernel string, say func(string, ...any)) ([]string, error) {
	const emulator = "qemu-system-x86"
	total := 0.0
	lists := [][]string{
		{"-qq", "-y", "--reinstall", "--print-uris", "install", emulator},
		{"-qq", "--print-uris", "download", "linux-binary-" + kernel, "linux-modules-" + kernel},
	}
	for _, args := range lists {
		output, err := a.run(ctx, "apt-get", args...)
		if err != nil {
			return nil, missing("%v", err)
		}
		for _, found := range packageURI.FindAllStringSubmatch(string(output), -1) {
			size, _ := strconv.ParseFloat(found[2], 64)
			total += size / 1e6
		}
	}
	defer a.watch("packages", "archives", total, say)()
	if output, err := a.run(ctx, "apt-get", "-qq", "-y", "--reinstall", "--download-only", "install", emulator); err != nil {
		return nil, missing("QEMU cannot be fetched: %s", tail(output))
	}
	if output, err := a.run(ctx, "apt-get", append([]string{"-qq"}, lists[1][2:]...)...); err != nil {
		return nil, missing("a kernel cannot be fetched: %s", tail(output))
	}
	return filepath.Glob(filepath.Join(a.folder, "archives", "*.deb"))
}
