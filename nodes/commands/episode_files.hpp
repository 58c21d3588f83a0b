// Files of an episode out of a store: what `drover episodes export` and `drover episodes render` share.
#pragma once

#include <cstdio>
#include <filesystem>
#include <string>

#include "actors/sync/central_store.hpp"
#include "messages/episode.hpp"
#include "nodes/commands/store_access.hpp"
#include "storage/env.hpp"

namespace drover::nodes {

// A file that appears complete or not at all, and never over one that is there.
class NewFile {
 public:
  explicit NewFile(std::filesystem::path path);
  ~NewFile();
  NewFile(const NewFile&) = delete;
  NewFile& operator=(const NewFile&) = delete;
  Status write(ByteView bytes);
  Status finish();

 private:
  Status trouble() const;
  std::filesystem::path path_;
  std::string temporary_;
  std::FILE* to_;
};

inline constexpr uint64_t blob_in_memory_max = 512u << 20;

// Errors: not_found.
Result<Episode> find_episode(const Source& source, const std::string& robot, const std::string& episode_id);

// Chunk by chunk, each in a transaction of its own: a slow disk here must not hold pages of a live store. Errors:
// not_found (chunks are missing), corrupt (the chunks do not give the blob's hash), io.
Status write_blob(const storage::Env& env, const BlobRef& blob, const std::filesystem::path& path);
// The same in memory. Errors also: too_large.
Result<Bytes> read_blob(const storage::Env& env, const BlobRef& blob);

inline bool is_mcap(const BlobRef& blob) {
  return blob.media_type == "application/x-mcap" || blob.name.ends_with(".mcap");
}
inline bool is_csv(const BlobRef& blob) {
  return blob.media_type == "text/csv" || blob.name.ends_with(".csv");
}

// The last part of a recorded name, safe in any folder: a name from a robot must not choose one.
std::string safe_name(const std::string& name);

// The recording of an episode: its MCAP file, from the store. Errors: not_found (says what files there are),
// invalid_argument (an MCAP log, but no recording), and those of read_blob.
struct LoadedRecording {
  Episode episode;
  Bytes file;
};
Result<LoadedRecording> load_recording(const AccessOptions& access, const std::string& robot,
                                       const std::string& episode_id);

}  // namespace drover::nodes
