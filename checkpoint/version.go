package checkpoint

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"fanmill/pipeline"
)

// Versions of fanmill that share a store. A version may give records members that an older one does not know: they
// survive what the older one writes. What an older version must not touch has a higher number in its member "version":
// that record is left alone, whoever else may need its place.

// recordVersion is the highest version of a record that this program knows, and the one that it writes.
const recordVersion = 1

// ErrLater is a record of a later version of fanmill. It is neither changed nor removed.
var ErrLater = errors.New("a later version of fanmill has written a record")

// laterError is a record's version that this program does not know.
type laterError int

func (e laterError) Error() string { return fmt.Sprintf("its version is %d", int(e)) }

// later says what becomes of a record of a later version.
func later(key string, version laterError) error {
	return pipeline.OfKind(ErrLater, fmt.Errorf("the record %s was written by a later version of fanmill (%w, and this program knows %d): it is left alone; update fanmill on this host", key, version, recordVersion))
}

// EncodeRecord is a record as it is stored. v is a struct with at least one member.
func EncodeRecord(v any) ([]byte, error) {
	return encodeDocument(v, fmt.Sprintf(`{"version":%d,`, recordVersion), nil)
}

// encodeDocument is v as JSON behind head, which ends with a comma; members are what stands there in place of v's own
// members, if there are any.
func encodeDocument(v any, head string, members map[string]json.RawMessage) ([]byte, error) {
	if members != nil {
		v = members
	}
	data, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	return append([]byte(head), data[1:]...), nil
}

// DecodeRecord reads what EncodeRecord or a Document wrote under the key, and refuses what only looks like it. The
// error is ErrForeign, or ErrLater.
func DecodeRecord[T any](key string, data []byte, v *T) error {
	if err := decode(data, v); err != nil {
		return ForeignRecord(key, err)
	}
	return nil
}

// replaceRecord writes a record in place of whatever stands there, but for one of a later version.
func replaceRecord(ctx context.Context, kv pipeline.KV, key string, data []byte) error {
	for {
		e, err := kv.Get(ctx, key)
		var version laterError
		switch {
		case errors.Is(err, pipeline.ErrNoKey):
			_, err = kv.Create(ctx, key, data)
		case err != nil:
			return err
		case errors.As(checkRecordVersion(e.Value), &version):
			return later(key, version)
		default:
			_, err = kv.Update(ctx, key, data, e.Revision)
		}
		if !errors.Is(err, pipeline.ErrConflict) {
			return err
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
	}
}

// checkRecordVersion reports a laterError.
func checkRecordVersion(data []byte) error {
	var head struct {
		Version int `json:"version"`
	}
	if err := json.Unmarshal(data, &head); err != nil {
		return err
	}
	if head.Version > recordVersion {
		return laterError(head.Version)
	}
	return nil
}

// origin is a document as it was read that has more in it than this program knows.
type origin[T any] struct {
	value   T
	members map[string]json.RawMessage
}

// originOf is nil for a document that has nothing in it but value; head are the members that every document has.
func originOf[T any](data []byte, value T, head string) (*origin[T], error) {
	if known, err := encodeDocument(value, head, nil); err != nil || bytes.Equal(known, data) {
		return nil, err
	}
	o := &origin[T]{value: value}
	if err := json.Unmarshal(data, &o.members); err != nil {
		return nil, err
	}
	delete(o.members, "stamp")
	delete(o.members, "version")
	return o, nil
}

// keep is next with what this program does not know of the document: members of its own, and what is inside of values
// that have not changed. A value that has changed is replaced whole, as what is unknown in it may have belonged to
// what it was before; of a map, entry by entry. nil has nothing to keep.
func (o *origin[T]) keep(next T) (map[string]json.RawMessage, error) {
	if o == nil {
		return nil, nil
	}
	was, err := membersOf(o.value)
	if err != nil {
		return nil, err
	}
	out, err := membersOf(next)
	if err != nil {
		return nil, err
	}
	isMap := map[string]bool{} // by the names of all members that this program knows
	for i := range reflect.TypeFor[T]().NumField() {
		f := reflect.TypeFor[T]().Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		isMap[name] = f.Type.Kind() == reflect.Map
	}
	for name, raw := range o.members {
		mapped, known := isMap[name]
		switch {
		case !known, bytes.Equal(out[name], was[name]) && out[name] != nil:
			out[name] = raw
		case mapped && out[name] != nil:
			if out[name], err = keepEntries(raw, was[name], out[name]); err != nil {
				return nil, err
			}
		}
	}
	return out, nil
}

// keepEntries is next with the entries as found that are as they were.
func keepEntries(found, was, next json.RawMessage) (json.RawMessage, error) {
	var all [3]map[string]json.RawMessage
	for i, data := range []json.RawMessage{found, was, next} {
		if len(data) == 0 {
			continue
		}
		if err := json.Unmarshal(data, &all[i]); err != nil {
			return nil, err
		}
	}
	for _, key := range slices.Collect(maps.Keys(all[2])) {
		if raw, ok := all[0][key]; ok && bytes.Equal(all[1][key], all[2][key]) {
			all[2][key] = raw
		}
	}
	return json.Marshal(all[2])
}

func membersOf(v any) (members map[string]json.RawMessage, err error) {
	data, err := json.Marshal(v)
	if err == nil {
		err = json.Unmarshal(data, &members)
	}
	return members, err
}
