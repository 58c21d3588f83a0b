// StepLog: what was learnt since the last checkpoint, as the ranges of records that were read. Learning is
// deterministic, so reading them again from the inbox brings back the same knowledge: a step costs a line of about a
// hundred bytes, however large the knowledge is.
//
// File: one line per step, `<json>\t<first 16 hex digits of its SHA-256>\n`. A line counts once its newline is there
// and its digits are right; what follows the last good line is a torn write and is cut off. A bad line before a good
// one is damage. Appends are synced before they return. Not thread safe.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "actors/sync/central_store.hpp"
#include "messages/result.hpp"

namespace drover::semantics {

// Records (after, last] of one stream.
struct StepMove {
  sync::StreamId stream;
  uint64_t after = 0;
  uint64_t last = 0;
  bool operator==(const StepMove&) const = default;
};

// One step: the records that were read, in order; or, when there are none, that the documents were made.
struct StepNote {
  std::vector<StepMove> moves;
  uint64_t own_seq = 0;  // of the own stream, before the records of this step
  bool operator==(const StepNote&) const = default;
};

class StepLog {
 public:
  explicit StepLog(std::string path) : path_(std::move(path)) {}

  // All good lines; none when there is no file. Cutting off a torn end happens at the next append. Errors: corrupt, io.
  Result<std::vector<StepNote>> read();
  // Durable when it returns. After an error the file may end in a torn line, which the next append cuts off.
  Status append(const StepNote& note);

  const std::string& path() const { return path_; }
  uint64_t bytes() const { return good_bytes_; }
  uint64_t notes() const { return notes_; }

 private:
  std::string path_;
  uint64_t good_bytes_ = 0;
  uint64_t notes_ = 0;
  bool exists_ = false;  // and its folder entry is durable
};

// Writes a file beside `path`, syncs it, and puts it in its place: it is there as a whole or not at all.
Status replace_file(const std::string& path, std::string_view text);

}  // namespace drover::semantics
