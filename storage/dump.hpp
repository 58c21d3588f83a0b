// Dump: a central store as canonical text, so that two stores can be compared. dump lines depend on what was
// stored, not on how it was batched, when it came, or where it lies on disk. Used by `drover audit`.
//
// Lines, in this order, each ended by a newline:
//   drover-dump 1
//   stream <robot> <incarnation> rank <rank> durable <seq>          robots ascending, then rank
//   record <robot> <incarnation> <seq> <sha256>                     after its stream, ascending
//   quarantine <robot> <reason>
//   watermark <consumer> <robot> <incarnation> <seq>
//   chunk <sha256> <size bytes>                                     held ones, ascending
//   then what the caller's extra tables add, then
//   end
// Names and reasons are quoted as JSON strings. Times are left out: they depend on when.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "messages/hash.hpp"
#include "storage/blobs.hpp"
#include "storage/inbox.hpp"

namespace drover::storage {

// Takes one line (without its newline). An error stops the dump.
using DumpLine = std::function<Status(std::string_view line)>;

struct DumpResult {
  Hash digest{};  // SHA-256 of all lines with their newlines
  uint64_t lines = 0;
  uint64_t records = 0;
  uint64_t chunks = 0;
};

struct DumpParts {
  const Inbox* inbox = nullptr;  // null: left out
  const Blobs* blobs = nullptr;
  std::function<Status(const ReadTxn&, const DumpLine&)> extra;  // other tables of the same Env; may be empty
  bool content = true;  // read every chunk and check that its content is right; the digest does not depend on it
};

// Dumps one snapshot. Every record's hash is recomputed. Errors: corrupt (what is damaged), the sink's.
// `sink` may be empty when only the digest is wanted.
Result<DumpResult> dump_in(const ReadTxn& txn, const DumpParts& parts, const DumpLine& sink);

// A JSON string literal: quotes, and escapes for control characters, quote and backslash.
std::string dump_quoted(std::string_view text);

}  // namespace drover::storage
