package run

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"cloud.google.com/go/run/apiv2/runpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// checkContainers refuses what this server cannot run: one container of a
// known image, with plain environment values.
func (s *Server) checkContainers(cs []*runpb.Container) error {
	if len(cs) != 1 {
		return status.Errorf(codes.InvalidArgument, "the template has %d containers; the local Cloud Run runs exactly one", len(cs))
	}
	c := cs[0]
	if len(s.image(c.Image)) == 0 && len(c.Command) == 0 {
		return status.Errorf(codes.InvalidArgument, "image %q not found: the local Cloud Run maps image names to command lines and has none for it", c.Image)
	}
	for _, e := range c.Env {
		if e.GetValueSource() != nil {
			return status.Errorf(codes.InvalidArgument, "environment variable %s comes from a secret, which the local Cloud Run does not have", e.Name)
		}
		if e.Name == "PORT" || slices.Contains(reservedEnv, e.Name) {
			return status.Errorf(codes.InvalidArgument, "environment variable %s is reserved: Cloud Run sets it", e.Name)
		}
	}
	return nil
}

// reservedEnv is what Cloud Run itself sets, in services and in jobs.
var reservedEnv = []string{
	"K_SERVICE", "K_REVISION", "K_CONFIGURATION",
	"CLOUD_RUN_JOB", "CLOUD_RUN_EXECUTION", "CLOUD_RUN_TASK_INDEX", "CLOUD_RUN_TASK_ATTEMPT", "CLOUD_RUN_TASK_COUNT",
}

// image is the command line of an image: of its whole name, or else of the last
// part of it alone, as in REGISTRY/PROJECT/REPOSITORY/detector:1.2.
func (s *Server) image(name string) []string {
	if argv, ok := s.opt.Images[name]; ok {
		return argv
	}
	base, _, _ := strings.Cut(path.Base(name), "@")
	base, _, _ = strings.Cut(base, ":")
	return s.opt.Images[base]
}

// argv is the command line of a container; a command given replaces the image's.
func (s *Server) argv(c *runpb.Container) []string {
	argv := c.Command
	if len(argv) == 0 {
		argv = s.image(c.Image)
	}
	return append(slices.Clone(argv), c.Args...)
}

// env is a process's environment: what comes later wins.
func (s *Server) env(c *runpb.Container, account string, system ...string) ([]string, error) {
	env := slices.Clone(s.opt.BaseEnv)
	if s.opt.Identity != nil {
		own, err := s.opt.Identity(account)
		if err != nil {
			return nil, fmt.Errorf("identity %s: %w", account, err)
		}
		env = append(env, own...)
	}
	for _, e := range c.Env {
		env = append(env, e.Name+"="+e.GetValue())
	}
	return append(env, system...), nil
}
