package localcloud

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	run "cloud.google.com/go/run/apiv2"
	"cloud.google.com/go/run/apiv2/runpb"
	"google.golang.org/api/option"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
)

// FunctionImage is the container that serves the function that FUNCTION_TARGET
// names.
const FunctionImage = "litterloop/function"

// functions runs declared functions as Cloud Run services, as Google Cloud does.
type functions struct{ grpc string }

// environment that the local cloud gives every container and that a function
// has only where it is declared.
var declared = []string{"GOOGLE_CLOUD_PROJECT", "DETECTOR_IMAGE"}

func (f functions) client(ctx context.Context) (*run.ServicesClient, error) {
	return run.NewServicesClient(ctx, option.WithEndpoint(f.grpc), option.WithoutAuthentication(),
		option.WithGRPCDialOption(grpc.WithTransportCredentials(insecure.NewCredentials())))
}

// Deploy implements controlplane.Functions.
func (f functions) Deploy(ctx context.Context, name, entryPoint, account string, env map[string]string) (string, error) {
	client, err := f.client(ctx)
	if err != nil {
		return "", err
	}
	defer client.Close()
	env = maps.Clone(env)
	for _, key := range declared {
		if _, ok := env[key]; !ok {
			env[key] = ""
		}
	}
	env["FUNCTION_TARGET"] = entryPoint
	container := &runpb.Container{Image: FunctionImage}
	for _, key := range slices.Sorted(maps.Keys(env)) {
		container.Env = append(container.Env, &runpb.EnvVar{Name: key, Values: &runpb.EnvVar_Value{Value: env[key]}})
	}
	op, err := client.UpdateService(ctx, &runpb.UpdateServiceRequest{AllowMissing: true, Service: &runpb.Service{
		Name:     serviceOf(name),
		Template: &runpb.RevisionTemplate{Containers: []*runpb.Container{container}, ServiceAccount: account},
	}})
	if err != nil {
		return "", fmt.Errorf("run function %s: %w", name, err)
	}
	s, err := op.Wait(ctx)
	if err != nil {
		return "", fmt.Errorf("run function %s: %w", name, err)
	}
	return s.Uri, nil
}

// Remove implements controlplane.Functions.
func (f functions) Remove(ctx context.Context, name string) error {
	client, err := f.client(ctx)
	if err != nil {
		return err
	}
	defer client.Close()
	_, err = client.DeleteService(ctx, &runpb.DeleteServiceRequest{Name: serviceOf(name)})
	if status.Code(err) == codes.NotFound {
		return nil
	}
	return err
}

// serviceOf is the name of a function's Cloud Run service.
func serviceOf(function string) string {
	return strings.Replace(function, "/functions/", "/services/", 1)
}
