package cloudrun_test

import (
	"context"
	"fmt"
	"net"
	"path"
	"strings"
	"sync"
	"testing"
	"time"

	"cloud.google.com/go/longrunning/autogen/longrunningpb"
	runapi "cloud.google.com/go/run/apiv2"
	"cloud.google.com/go/run/apiv2/runpb"
	"google.golang.org/api/option"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// contract is Cloud Run's Admin API as it was recorded: a service with an etag
// that every change renews, revisions that are named once and for all, and
// operations that are waited for. Its revisions are no processes.
type contract struct {
	runpb.UnimplementedServicesServer
	runpb.UnimplementedRevisionsServer
	longrunningpb.UnimplementedOperationsServer

	mu        sync.Mutex
	service   *runpb.Service
	revisions []*runpb.Revision
	changes   int

	calls int
	// fault is asked at each call, counted from 1: before it takes effect, and
	// after. What it returns is the answer.
	fault func(call int, method string, after bool) error
}

// declared is the service that Terraform makes: a placeholder, and the collector
// of metrics beside it.
func declared() *runpb.Service {
	return &runpb.Service{
		Name: parent + "/services/litter", Etag: `"0"`, Uri: "http://litter.test",
		Template: &runpb.RevisionTemplate{
			ServiceAccount: "litterloop-detector@streets-1.iam.gserviceaccount.com",
			Containers: []*runpb.Container{
				{Name: "main", Image: "us-docker.pkg.dev/cloudrun/container/hello", Env: []*runpb.EnvVar{{Name: "PHOTO_BUCKETS", Values: &runpb.EnvVar_Value{Value: "-"}}},
					Resources: &runpb.ResourceRequirements{Limits: map[string]string{"cpu": "2", "memory": "2Gi"}, CpuIdle: true, StartupCpuBoost: true}},
				{Name: "collector", Image: "cloud-run-gmp-sidecar:1.2.0", DependsOn: []string{"main"}},
			},
		},
		Traffic: []*runpb.TrafficTarget{{Type: runpb.TrafficTargetAllocationType_TRAFFIC_TARGET_ALLOCATION_TYPE_LATEST, Percent: 100}},
	}
}

func newContract() *contract {
	c := &contract{service: declared()}
	c.service.Template.Revision = ""
	c.put(c.service)
	return c
}

// guarded runs a call between the faults. Needs no lock.
func guarded[T any](c *contract, method string, call func() (T, error)) (answer T, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.calls++
	n := c.calls
	if c.fault != nil {
		if err := c.fault(n, method, false); err != nil {
			return answer, err
		}
	}
	if answer, err = call(); err != nil {
		return answer, err
	}
	if c.fault != nil {
		if err := c.fault(n, method, true); err != nil {
			return *new(T), err
		}
	}
	return answer, nil
}

// changed is somebody else's change of the service: another etag.
func (c *contract) changed() {
	c.changes++
	c.service.Etag = fmt.Sprintf("%q", fmt.Sprint(c.changes))
}

func (c *contract) revision(name string) *runpb.Revision {
	for _, r := range c.revisions {
		if path.Base(r.Name) == path.Base(name) {
			return r
		}
	}
	return nil
}

// put makes what s declares.
func (c *contract) put(s *runpb.Service) error {
	c.changes++
	s = proto.CloneOf(s)
	name := s.Template.Revision
	if name == "" {
		name = fmt.Sprintf("litter-%05d-abc", c.changes)
	}
	have := c.revision(name)
	if have != nil && !proto.Equal(&runpb.RevisionTemplate{Containers: have.Containers}, &runpb.RevisionTemplate{Containers: s.Template.Containers}) {
		return status.Errorf(codes.AlreadyExists, "Revision named '%s' with different configuration already exists.", name)
	}
	if have == nil {
		c.revisions = append(c.revisions, &runpb.Revision{
			Name: s.Name + "/revisions/" + name, Containers: proto.CloneOf(s.Template).Containers, CreateTime: timestamppb.New(time.Unix(int64(c.changes), 0)),
			Conditions: []*runpb.Condition{{Type: "Ready", State: runpb.Condition_CONDITION_SUCCEEDED}},
		})
	}
	s.Etag = fmt.Sprintf("%q", fmt.Sprint(c.changes))
	s.LatestReadyRevision = s.Name + "/revisions/" + name
	s.LatestCreatedRevision = s.LatestReadyRevision
	s.TrafficStatuses = nil
	for _, t := range s.Traffic {
		if t.Type != runpb.TrafficTargetAllocationType_TRAFFIC_TARGET_ALLOCATION_TYPE_LATEST && c.revision(t.Revision) == nil {
			return status.Errorf(codes.InvalidArgument, "traffic names revision %s, which is not there", t.Revision)
		}
		st := &runpb.TrafficTargetStatus{Type: t.Type, Revision: t.Revision, Percent: t.Percent, Tag: t.Tag}
		if t.Tag != "" {
			st.Uri = "http://" + t.Tag + "---litter.test"
		}
		s.TrafficStatuses = append(s.TrafficStatuses, st)
	}
	c.service = s
	return nil
}

func operation() *longrunningpb.Operation {
	return &longrunningpb.Operation{Name: parent + "/operations/1"}
}

func (c *contract) GetService(_ context.Context, q *runpb.GetServiceRequest) (*runpb.Service, error) {
	return guarded(c, "GetService", func() (*runpb.Service, error) {
		if q.Name != c.service.Name {
			return nil, status.Errorf(codes.NotFound, "no %s", q.Name)
		}
		return proto.CloneOf(c.service), nil
	})
}

func (c *contract) UpdateService(_ context.Context, q *runpb.UpdateServiceRequest) (*longrunningpb.Operation, error) {
	return guarded(c, "UpdateService", func() (*longrunningpb.Operation, error) {
		if q.Service.Etag != c.service.Etag {
			return nil, status.Errorf(codes.Aborted, "Conflict for resource '%s': version '%s' was specified but current version is '%s'.", q.Service.Name, q.Service.Etag, c.service.Etag)
		}
		return operation(), c.put(q.Service)
	})
}

func (c *contract) GetRevision(_ context.Context, q *runpb.GetRevisionRequest) (*runpb.Revision, error) {
	return guarded(c, "GetRevision", func() (*runpb.Revision, error) {
		if r := c.revision(q.Name); r != nil {
			return proto.CloneOf(r), nil
		}
		return nil, status.Errorf(codes.NotFound, "no %s", q.Name)
	})
}

func (c *contract) ListRevisions(context.Context, *runpb.ListRevisionsRequest) (*runpb.ListRevisionsResponse, error) {
	return guarded(c, "ListRevisions", func() (*runpb.ListRevisionsResponse, error) {
		out := &runpb.ListRevisionsResponse{}
		for i := range c.revisions { // newest first, as the API has it
			out.Revisions = append(out.Revisions, proto.CloneOf(c.revisions[len(c.revisions)-1-i]))
		}
		return out, nil
	})
}

func (c *contract) DeleteRevision(_ context.Context, q *runpb.DeleteRevisionRequest) (*longrunningpb.Operation, error) {
	return guarded(c, "DeleteRevision", func() (*longrunningpb.Operation, error) {
		r := c.revision(q.Name)
		switch {
		case r == nil:
			return nil, status.Errorf(codes.NotFound, "no %s", q.Name)
		case r.Name == c.service.LatestCreatedRevision:
			return nil, status.Error(codes.FailedPrecondition, "the latest created revision cannot be directly deleted")
		}
		for i := range c.revisions {
			if c.revisions[i] == r {
				c.revisions = append(c.revisions[:i], c.revisions[i+1:]...)
				break
			}
		}
		return operation(), nil
	})
}

func (c *contract) WaitOperation(_ context.Context, q *longrunningpb.WaitOperationRequest) (*longrunningpb.Operation, error) {
	return guarded(c, "WaitOperation", func() (*longrunningpb.Operation, error) {
		return &longrunningpb.Operation{Name: q.Name, Done: true}, nil
	})
}

// clients are Google's own, of the contract. What they repeat by themselves,
// after a second, they do not here.
func (c *contract) clients(t *testing.T) (*runapi.ServicesClient, *runapi.RevisionsClient) {
	t.Helper()
	l := bufconn.Listen(1 << 16)
	g := grpc.NewServer()
	runpb.RegisterServicesServer(g, c)
	runpb.RegisterRevisionsServer(g, c)
	longrunningpb.RegisterOperationsServer(g, c)
	go g.Serve(l)
	t.Cleanup(g.Stop)
	conn, err := grpc.NewClient("passthrough:contract", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return l.DialContext(ctx) }))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	services, err := runapi.NewServicesClient(t.Context(), option.WithGRPCConn(conn))
	if err != nil {
		t.Fatal(err)
	}
	revisions, err := runapi.NewRevisionsClient(t.Context(), option.WithGRPCConn(conn))
	if err != nil {
		t.Fatal(err)
	}
	services.CallOptions.GetService = nil
	revisions.CallOptions.GetRevision, revisions.CallOptions.ListRevisions = nil, nil
	return services, revisions
}

// shares say what serves, such as "litter-v2 100 v2".
func (c *contract) shares() string {
	var all []string
	for _, t := range c.service.TrafficStatuses {
		all = append(all, strings.TrimSpace(fmt.Sprintf("%s %d %s", path.Base(t.Revision), t.Percent, t.Tag)))
	}
	return strings.Join(all, ", ")
}
