package main

import "context"

type onPartition struct {
	Partition string `json:"partition"`
}

type ofReader struct {
	Reader string `json:"reader"`
}

type ofProcessor struct {
	Processor string `json:"processor"`
}

// ask is call for operations with a result.
func ask[R any](ctx context.Context, d *driver, op string, at target, args any) (R, error) {
	var r R
	err := d.call(ctx, op, at, args, &r)
	return r, err
}

func (d *driver) hello(ctx context.Context) (hello, error) {
	return ask[hello](ctx, d, "hello", target{}, struct{}{})
}

func (d *driver) hubProperties(ctx context.Context, at target) (hubProperties, error) {
	return ask[hubProperties](ctx, d, "hub", at, struct{}{})
}

func (d *driver) partitionProperties(ctx context.Context, at target, partition string) (partitionProperties, error) {
	return ask[partitionProperties](ctx, d, "partition", at, onPartition{partition})
}

func (d *driver) send(ctx context.Context, at target, b batch) error {
	return d.call(ctx, "send", at, b, nil)
}

func (d *driver) sendOne(ctx context.Context, at target, s single) error {
	return d.call(ctx, "send_one", at, s, nil)
}

func (d *driver) fill(ctx context.Context, at target, partition string, size int) (int, error) {
	type args struct {
		onPartition
		Size int `json:"size"`
	}
	r, err := ask[struct {
		Count int `json:"count"`
	}](ctx, d, "fill", at, args{onPartition{partition}, size})
	return r.Count, err
}

func (d *driver) largest(ctx context.Context, at target, partition string) (largest, error) {
	return ask[largest](ctx, d, "largest", at, onPartition{partition})
}

func (d *driver) sendBuffered(ctx context.Context, at target, events []addressed) error {
	type args struct {
		Events []addressed `json:"events"`
	}
	return d.call(ctx, "send_buffered", at, args{events}, nil)
}

func (d *driver) sendIdempotent(ctx context.Context, at target, events []addressed) error {
	type args struct {
		Events     []addressed `json:"events"`
		Idempotent bool        `json:"idempotent"`
	}
	return d.call(ctx, "send_buffered", at, args{events, true}, nil)
}

func (d *driver) unfiltered(ctx context.Context, at target, partition string, count int) ([][]byte, error) {
	type args struct {
		onPartition
		Count int `json:"count"`
	}
	r, err := ask[struct {
		Bodies [][]byte `json:"bodies"`
	}](ctx, d, "unfiltered", at, args{onPartition{partition}, count})
	return r.Bodies, err
}

func (d *driver) receive(ctx context.Context, at target, r reading) (received, error) {
	return ask[received](ctx, d, "receive", at, r)
}

func (d *driver) hold(ctx context.Context, at target, r reading) (string, error) {
	reader, err := ask[ofReader](ctx, d, "hold", at, r)
	return reader.Reader, err
}

func (d *driver) held(ctx context.Context, at target, reader string) (held, error) {
	return ask[held](ctx, d, "held", at, ofReader{reader})
}

func (d *driver) release(ctx context.Context, at target, reader string) error {
	return d.call(ctx, "release", at, ofReader{reader}, nil)
}

func (d *driver) process(ctx context.Context, at target, p processing) (string, error) {
	processor, err := ask[ofProcessor](ctx, d, "process", at, p)
	return processor.Processor, err
}

func (d *driver) processed(ctx context.Context, at target, processor string) (processed, error) {
	return ask[processed](ctx, d, "processed", at, ofProcessor{processor})
}

func (d *driver) stop(ctx context.Context, at target, processor string) error {
	return d.call(ctx, "stop", at, ofProcessor{processor}, nil)
}
