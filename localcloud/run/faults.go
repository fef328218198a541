package run

import (
	"context"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Faults are failures to inject into the API, by full method name
// ("/google.cloud.run.v2.Services/UpdateService"). Both must be safe for
// concurrent use.
type Faults struct {
	// Call is asked before a call is handled; its error is answered instead.
	Call func(method string) error
	// Committed is asked after a call has taken effect; its error is answered
	// instead of the success, as when the connection breaks at that moment.
	Committed func(method string) error
}

// guard wraps the handlers of what it registers: none runs on a closed server,
// and the faults are injected.
type guard struct {
	grpc.ServiceRegistrar
	s *Server
}

func (r guard) RegisterService(desc *grpc.ServiceDesc, impl any) {
	d := *desc
	d.Methods = nil
	for _, m := range desc.Methods {
		handler, name := m.Handler, "/"+desc.ServiceName+"/"+m.MethodName
		m.Handler = func(srv any, ctx context.Context, dec func(any) error, i grpc.UnaryServerInterceptor) (any, error) {
			if r.s.ctx.Err() != nil {
				return nil, status.Error(codes.Unavailable, errClosed.Error())
			}
			f := r.s.opt.Faults
			if f != nil && f.Call != nil {
				if err := f.Call(name); err != nil {
					return nil, err
				}
			}
			resp, err := handler(srv, ctx, dec, i)
			if err == nil && f != nil && f.Committed != nil {
				err = f.Committed(name)
			}
			return resp, err
		}
		d.Methods = append(d.Methods, m)
	}
	r.ServiceRegistrar.RegisterService(&d, impl)
}
