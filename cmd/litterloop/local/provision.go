package local

import (
	"context"
	"errors"
	"fmt"
	"time"

	"cloud.google.com/go/pubsub/v2"
	pb "cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	run "cloud.google.com/go/run/apiv2"
	"cloud.google.com/go/run/apiv2/runpb"
	"cloud.google.com/go/storage"
	"google.golang.org/api/googleapi"
	"google.golang.org/api/option"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/litterloop/litterloop/localcloud"
	"github.com/litterloop/litterloop/shared/bus"
	"github.com/litterloop/litterloop/shared/setup"
	"github.com/litterloop/litterloop/shared/training"
)

// Delivery on the local cloud. Production waits longer between attempts; here a
// person is watching.
const (
	maxAttempts = 12
	minBackoff  = 200 * time.Millisecond
	maxBackoff  = 10 * time.Second
	ackDeadline = 600 // seconds: Pub/Sub's longest, for the deploy function's canary
)

// Subscription is an arrow of the loop: a topic that wakes a function.
type Subscription struct{ Name, Topic, Function string }

// Subscriptions are the arrows; Terraform declares the same ones.
var Subscriptions = []Subscription{
	{"convert", bus.IncomingObjects, "convert"},
	{"validate", bus.DatasetObjects, "validate"},
	{"train", bus.Train, "train"},
	{"retrain", bus.Retrain, "train"},
	{"register", bus.Register, "register"},
	{"deploy", bus.Deploy, "deploy"},
}

// Pulled are the topics that people read with `litterloop events`.
var Pulled = []string{bus.DeadLetters, bus.Alerts}

// Notification is a bucket that tells of new objects, those whose names begin
// with Prefix.
type Notification struct {
	Bucket func(setup.Config) string
	Topic  string
	Prefix string
}

// Notifications are the buckets that wake functions.
var Notifications = []Notification{
	{func(c setup.Config) string { return c.Incoming }, bus.IncomingObjects, ""},
	{func(c setup.Config) string { return c.Datasets }, bus.DatasetObjects, "versions/"},
}

// provisionTries is how often provisioning is begun again when an API was away.
const provisionTries = 8

// provision creates on the local cloud what Terraform creates on Google Cloud,
// through the same APIs; what exists is left as it is. Google's clients do not
// repeat a creation by themselves, as it may have happened; here every attempt
// looks at what is there first.
func provision(ctx context.Context, e localcloud.Endpoints, cfg setup.Config) error {
	wait := 50 * time.Millisecond
	for try := 1; ; try++ {
		err := provisionOnce(ctx, e, cfg)
		if err == nil || try == provisionTries || !away(err) {
			return err
		}
		select {
		case <-time.After(wait):
			wait *= 2
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// away tells that an API answered that it is not available just now.
func away(err error) bool {
	var http *googleapi.Error
	if errors.As(err, &http) {
		return http.Code >= 500
	}
	return status.Code(err) == codes.Unavailable
}

func provisionOnce(ctx context.Context, e localcloud.Endpoints, cfg setup.Config) error {
	if err := provisionBus(ctx, e); err != nil {
		return err
	}
	if err := provisionBuckets(ctx, e, cfg); err != nil {
		return err
	}
	return provisionTrainers(ctx, e, cfg)
}

func provisionBus(ctx context.Context, e localcloud.Endpoints) error {
	client, err := pubsub.NewClient(ctx, e.Project, plain(e.GRPC)...)
	if err != nil {
		return fmt.Errorf("pub/sub client: %w", err)
	}
	defer client.Close()
	topic := func(name string) string { return "projects/" + e.Project + "/topics/" + name }
	for _, name := range []string{bus.DeadLetters, bus.Alerts, bus.IncomingObjects, bus.DatasetObjects, bus.Train, bus.Retrain, bus.Register, bus.Deploy} {
		if _, err := client.TopicAdminClient.CreateTopic(ctx, &pb.Topic{Name: topic(name)}); !exists(err) {
			return fmt.Errorf("create topic %s: %w", name, err)
		}
	}
	subscribe := func(s *pb.Subscription) error {
		s.Name = "projects/" + e.Project + "/subscriptions/" + s.Name
		_, err := client.SubscriptionAdminClient.CreateSubscription(ctx, s)
		if status.Code(err) == codes.AlreadyExists && s.PushConfig != nil { // the functions' port may have changed
			err = client.SubscriptionAdminClient.ModifyPushConfig(ctx, &pb.ModifyPushConfigRequest{Subscription: s.Name, PushConfig: s.PushConfig})
		}
		if !exists(err) {
			return fmt.Errorf("create subscription %s: %w", s.Name, err)
		}
		return nil
	}
	for _, s := range Subscriptions {
		account := fmt.Sprintf("push-%s@%s.iam.gserviceaccount.com", s.Name, e.Project)
		url := "http://" + e.Functions + "/" + s.Function
		if err := subscribe(&pb.Subscription{
			Name: s.Name, Topic: topic(s.Topic), AckDeadlineSeconds: ackDeadline,
			PushConfig:       &pb.PushConfig{PushEndpoint: url, AuthenticationMethod: &pb.PushConfig_OidcToken_{OidcToken: &pb.PushConfig_OidcToken{ServiceAccountEmail: account, Audience: url}}},
			RetryPolicy:      &pb.RetryPolicy{MinimumBackoff: durationpb.New(minBackoff), MaximumBackoff: durationpb.New(maxBackoff)},
			DeadLetterPolicy: &pb.DeadLetterPolicy{DeadLetterTopic: topic(bus.DeadLetters), MaxDeliveryAttempts: maxAttempts},
		}); err != nil {
			return err
		}
	}
	for _, name := range Pulled {
		if err := subscribe(&pb.Subscription{Name: name, Topic: topic(name), AckDeadlineSeconds: 60}); err != nil {
			return err
		}
	}
	return nil
}

func provisionBuckets(ctx context.Context, e localcloud.Endpoints, cfg setup.Config) error {
	client, err := storage.NewClient(ctx, option.WithEndpoint("http://"+e.Storage+"/storage/v1/"), option.WithoutAuthentication())
	if err != nil {
		return fmt.Errorf("storage client: %w", err)
	}
	defer client.Close()
	for _, name := range []string{cfg.Incoming, cfg.Datasets, cfg.Models, cfg.Predictions, cfg.Ledger} {
		bucket := client.Bucket(name)
		if _, err := bucket.Attrs(ctx); errors.Is(err, storage.ErrBucketNotExist) {
			err = bucket.Create(ctx, e.Project, nil)
			if err != nil {
				return fmt.Errorf("create bucket %s: %w", name, err)
			}
		} else if err != nil {
			return fmt.Errorf("bucket %s: %w", name, err)
		}
	}
	for _, n := range Notifications {
		bucket := client.Bucket(n.Bucket(cfg))
		there, err := bucket.Notifications(ctx)
		if err != nil {
			return fmt.Errorf("notifications of %s: %w", n.Bucket(cfg), err)
		}
		if len(there) > 0 {
			continue
		}
		if _, err := bucket.AddNotification(ctx, &storage.Notification{TopicProjectID: e.Project, TopicID: n.Topic,
			EventTypes: []string{storage.ObjectFinalizeEvent}, ObjectNamePrefix: n.Prefix, PayloadFormat: storage.JSONPayload}); err != nil {
			return fmt.Errorf("notify %s of objects in %s: %w", n.Topic, n.Bucket(cfg), err)
		}
	}
	return nil
}

func provisionTrainers(ctx context.Context, e localcloud.Endpoints, cfg setup.Config) error {
	client, err := run.NewJobsClient(ctx, plain(e.GRPC)...)
	if err != nil {
		return fmt.Errorf("cloud run client: %w", err)
	}
	defer client.Close()
	for _, name := range []string{cfg.TrainerJob, cfg.TrainerJob + "-" + training.Ultralytics} {
		_, err = client.CreateJob(ctx, &runpb.CreateJobRequest{
			Parent: fmt.Sprintf("projects/%s/locations/%s", e.Project, cfg.Region), JobId: name,
			Job: &runpb.Job{Template: &runpb.ExecutionTemplate{Template: &runpb.TaskTemplate{
				Containers: []*runpb.Container{{Image: localcloud.TrainerImage}},
				Retries:    &runpb.TaskTemplate_MaxRetries{MaxRetries: 3},
				Timeout:    durationpb.New(24 * time.Hour),
			}}},
		})
		if !exists(err) {
			return fmt.Errorf("create job %s: %w", name, err)
		}
	}
	return nil
}

// exists tells that a create call made its object, or found it.
func exists(err error) bool { return err == nil || status.Code(err) == codes.AlreadyExists }

func plain(address string) []option.ClientOption {
	return []option.ClientOption{option.WithEndpoint(address), option.WithoutAuthentication(),
		option.WithGRPCDialOption(grpc.WithTransportCredentials(insecure.NewCredentials()))}
}
