// LogSource: one log file as a sequence of episodes that is pulled.
//
// Usage: choose_mapping() says which kind a file is, open_log() gives the source, next() the episodes in order.
// Invariants: outside bytes never crash; memory is bounded by slice_bytes_max and the format's limits; the episodes are
// a pure function of (bytes, mapping, robot), so after a restart a source opened with first_ordinal = n continues with
// exactly the episodes that the uninterrupted one would have given. A damaged or cut-off file gives the episodes
// before the damage and the one it hit, labelled complete = false with a note that says where.
// Threads: a source belongs to one thread.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "actors/capture/captured.hpp"
#include "actors/capture/listener.hpp"
#include "actors/capture/mapping.hpp"
#include "storage/mcap/io.hpp"

namespace drover::capture {

struct CaptureOptions {
  std::string robot;           // node id, goes into each header; must not be empty
  uint64_t first_ordinal = 0;  // episodes before it are not given out
  uint64_t source_bytes_max = uint64_t{64} << 30;
  uint64_t slice_bytes_max = uint64_t{64} << 20;  // an episode is cut when its raw bytes would exceed this
  SourceListener* listener = nullptr;             // hears what is decoded; must outlive the source; null: nobody
};

struct SourceDamage {
  uint64_t offset = 0;  // file offset where reading stopped
  std::string what;
};

// What was seen of the file so far; final after next() gave nothing.
struct SourceReport {
  std::string kind;  // of the mapping
  std::string name;
  Hash hash{};
  uint64_t size_bytes = 0;
  uint64_t rows = 0;          // samples or messages taken
  uint64_t rows_skipped = 0;  // ragged, without a readable time, or stepped back in time
  uint64_t cells_unreadable = 0;
  uint64_t episodes = 0;  // also those before first_ordinal
  std::optional<SourceDamage> damage;
  std::vector<std::string> notes;
};

class LogSource {
 public:
  virtual ~LogSource() = default;
  // The next episode, or nothing at the end. Errors: io only; damage is not an error.
  virtual Result<std::optional<CapturedEpisode>> next() = 0;
  virtual const SourceReport& report() const noexcept = 0;
};

// The mapping that fits the file best: highest priority, then most demands met, then first by kind. `name` is the file
// name without folders. Errors: not_found (names the file and why each kind does not fit), io.
Result<std::shared_ptr<const Mapping>> choose_mapping(const std::string& name,
                                                      const std::shared_ptr<const ByteSource>& file,
                                                      const std::vector<std::shared_ptr<const Mapping>>& mappings);

// SHA-256 of the whole file, read in pieces. Errors: io.
Result<Hash> hash_source(const ByteSource& file);

// `hash` must be hash_source(*file); it becomes part of the episode ids. Errors: invalid_argument (options),
// too_large (over source_bytes_max), not_found or corrupt (no header line, or the clock column is not there), io.
Result<std::unique_ptr<LogSource>> open_log(const std::string& name, std::shared_ptr<const ByteSource> file,
                                            const Hash& hash, std::shared_ptr<const Mapping> mapping,
                                            CaptureOptions options);

// Hashes, chooses and opens in one step.
Result<std::unique_ptr<LogSource>> open_log(const std::string& name, std::shared_ptr<const ByteSource> file,
                                            const std::vector<std::shared_ptr<const Mapping>>& mappings,
                                            CaptureOptions options);

// Reads every *.toml of a folder, in name order. Errors: not_found, io, invalid_argument with all problems of all
// files.
Result<std::vector<std::shared_ptr<const Mapping>>> load_mappings(const std::string& folder);

}  // namespace drover::capture
