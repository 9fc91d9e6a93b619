// Reads topics as any Go service would, with a generic Avro library and the schema registry, knowing nothing of
// Driftline, and prints each record as one line of JSON:
//
//	interop <bootstrap> <registry> <records> <topic>...
package main

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"log"
	"os"
	"strconv"
	"time"

	"github.com/hamba/avro/v2"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sr"
)

type line struct {
	Topic string `json:"topic"`
	Key   string `json:"key"`
	Value any    `json:"value"`
}

func main() {
	wanted, err := strconv.Atoi(os.Args[3])
	check(err)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	registry, err := sr.NewClient(sr.URLs(os.Args[2]))
	check(err)
	consumer, err := kgo.NewClient(
		kgo.SeedBrokers(os.Args[1]),
		kgo.ConsumeTopics(os.Args[4:]...),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
	)
	check(err)
	defer consumer.Close()

	out := json.NewEncoder(os.Stdout)
	for read := 0; read < wanted; {
		fetches := consumer.PollFetches(ctx)
		check(fetches.Err())
		fetches.EachRecord(func(record *kgo.Record) {
			value, err := decode(ctx, registry, record.Value)
			if err != nil {
				log.Fatalf("%s: %v", record.Topic, err)
			}
			check(out.Encode(line{record.Topic, string(record.Key), value}))
			read++
		})
	}
}

func decode(ctx context.Context, registry *sr.Client, value []byte) (any, error) {
	var header sr.ConfluentHeader
	id, body, err := header.DecodeID(value)
	if err != nil {
		return nil, err
	}
	registered, err := registry.SchemaByID(ctx, id)
	if err != nil {
		return nil, err
	}
	schema, err := avro.Parse(registered.Schema)
	if err != nil {
		return nil, err
	}
	var found any
	if err := avro.Unmarshal(schema, body, &found); err != nil {
		return nil, err
	}
	return plain(found), nil
}

// plain makes what JSON cannot hold exactly into text.
func plain(value any) any {
	switch value := value.(type) {
	case map[string]any:
		for key, inner := range value {
			value[key] = plain(inner)
		}
		return value
	case []any:
		for at, inner := range value {
			value[at] = plain(inner)
		}
		return value
	case []byte:
		return "0x" + hex.EncodeToString(value)
	case time.Time:
		return value.UnixMilli()
	case float32:
		return plain(float64(value))
	case float64:
		return "float64:" + strconv.FormatFloat(value, 'g', -1, 64)
	default:
		return value
	}
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
