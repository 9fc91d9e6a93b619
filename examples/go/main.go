// What is being rolled out where, as state and then changes: a Go service that knows nothing of Driftline but its
// topic and its schema registry.
//
//	rollout_events <bootstrap> <registry> [<prefix>]
package main

import (
	"context"
	"fmt"
	"log"
	"os"

	"github.com/hamba/avro/v2"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sr"
)

// RolloutStatus has what this service wants; what else the record holds is skipped.
type RolloutStatus struct {
	RolloutID string         `avro:"rollout_id"`
	ModelID   string         `avro:"model_id"`
	Phase     string         `avro:"phase"`
	Reason    string         `avro:"reason"`
	Devices   map[string]int `avro:"devices"`
}

func main() {
	topic := "rollouts.status"
	if len(os.Args) > 3 {
		topic = os.Args[3] + topic
	}
	registry, err := sr.NewClient(sr.URLs(os.Args[2]))
	check(err)
	consumer, err := kgo.NewClient(
		kgo.SeedBrokers(os.Args[1]),
		kgo.ConsumeTopics(topic),
		// The topic is compacted: from its start on it tells the present state, and then what changes.
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		// Of a decision that was never completed nothing is seen.
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
	)
	check(err)
	defer consumer.Close()

	ctx := context.Background()
	schemas := map[int]avro.Schema{}
	for {
		fetches := consumer.PollFetches(ctx)
		check(fetches.Err())
		fetches.EachRecord(func(record *kgo.Record) {
			if record.Value == nil {
				fmt.Printf("%s is forgotten\n", record.Key)
				return
			}
			var status RolloutStatus
			check(decode(ctx, registry, schemas, record.Value, &status))
			fmt.Printf("%s %s %s %d: %s\n",
				status.RolloutID, status.ModelID, status.Phase, status.Devices["succeeded"], status.Reason)
		})
	}
}

// decode reads Confluent's framing: a zero byte, the schema's id, and the Avro body that was written with it.
func decode(ctx context.Context, registry *sr.Client, schemas map[int]avro.Schema, value []byte, into any) error {
	var header sr.ConfluentHeader
	id, body, err := header.DecodeID(value)
	if err != nil {
		return err
	}
	schema, known := schemas[id]
	if !known {
		registered, err := registry.SchemaByID(ctx, id)
		if err != nil {
			return err
		}
		if schema, err = avro.Parse(registered.Schema); err != nil {
			return err
		}
		schemas[id] = schema
	}
	return avro.Unmarshal(schema, body, into)
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
