package run

import (
	"context"

	"google.golang.org/grpc"
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

// faultyRegistrar wraps the handlers of what it registers in the faults.
type faultyRegistrar struct {
	grpc.ServiceRegistrar
	faults *Faults
}

func (r faultyRegistrar) RegisterService(desc *grpc.ServiceDesc, impl any) {
	d := *desc
	d.Methods = nil
	for _, m := range desc.Methods {
		handler, name := m.Handler, "/"+desc.ServiceName+"/"+m.MethodName
		m.Handler = func(srv any, ctx context.Context, dec func(any) error, i grpc.UnaryServerInterceptor) (any, error) {
			if r.faults.Call != nil {
				if err := r.faults.Call(name); err != nil {
					return nil, err
				}
			}
			resp, err := handler(srv, ctx, dec, i)
			if err == nil && r.faults.Committed != nil {
				err = r.faults.Committed(name)
			}
			return resp, err
		}
		d.Methods = append(d.Methods, m)
	}
	r.ServiceRegistrar.RegisterService(&d, impl)
}
