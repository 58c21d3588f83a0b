// Central dump: everything a coordinator keeps as canonical text, so that two coordinators can be compared byte for
// byte. Used by `drover audit --dump` and `--digest` and by the crash proof.
//
// Two stores that took in the same records dump the same lines, however the records were batched, interleaved, repeated
// and delayed, and however often anything crashed. Left out is what must depend on the moment: when a stream was seen,
// which number an incarnation drew (its rank is written instead), and at what time a robot noticed an event or wrote a
// receipt. Lines, in this order, each ended by a newline:
//   drover-central-dump 1
//   stream <robot> <rank> durable <seq> applied <seq>     robots ascending, then rank
//   record <robot> <rank> <seq> <kind> <sha256>           after its stream; sha256 of the record, or for events and
//                                                         receipts of the payload without its time
//   quarantine <robot>
//   row <table> <key hex> <sha256 of the value>           tables of content: episodes, datapacks with all indexes and
//                                                         statistics, chunk states, knowledge; key order
//   row <table> <robot> <rank> <seq> <sha256>             tables of records without an identity of their own
//   chunk <sha256> <size bytes>                           held chunks; each is read and hashed again
//   end
// Names are quoted as JSON strings.
#pragma once

#include "actors/sync/central_store.hpp"
#include "messages/hash.hpp"
#include "storage/dump.hpp"

namespace drover::sync {

struct CentralDump {
  Hash digest{};  // SHA-256 of all lines with their newlines
  uint64_t lines = 0;
  uint64_t records = 0;
  uint64_t chunks = 0;
};

// Dumps one snapshot of a store at rest. Beside a live coordinator, records that come in meanwhile may show up as
// stored and not applied. Errors: corrupt (what is damaged), the sink's. `sink` may be empty.
Result<CentralDump> dump_central(const CentralStore& store, const storage::DumpLine& sink);

// SHA-256 of a record without the moment at which a robot noticed it (see above).
Result<Hash> timeless_hash(const RecordView& record);

}  // namespace drover::sync
