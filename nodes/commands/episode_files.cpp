#include "nodes/commands/episode_files.hpp"

#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "actors/capture/recording_reader.hpp"
#include "messages/hash.hpp"
#include "storage/blobs.hpp"

namespace drover::nodes {
namespace {

// Calls `take` with each chunk in order and checks the whole.
template <class Take>
Status each_chunk(const storage::Env& env, const BlobRef& blob, Take&& take) {
  const storage::Blobs blobs = storage::Blobs::open(env);
  DROVER_ASSIGN(const auto missing,
                env.read([&](const storage::ReadTxn& t) { return blobs.missing_in(t, blob.chunks); }));
  if (!missing.empty())
    return fail(Errc::not_found, blob.name,
                std::to_string(missing.size()) + " of " + std::to_string(blob.chunks.size()) +
                    " chunks are not in this store (yet); the other side may hold them");
  Sha256 hash;
  for (const ChunkRef& chunk : blob.chunks) {
    DROVER_ASSIGN(const Bytes bytes, env.read([&](const storage::ReadTxn& t) { return blobs.get_in(t, chunk.hash); }));
    hash.update(bytes.view());
    DROVER_TRY(take(bytes.view()));
  }
  if (hash.finish() != blob.hash) return fail(Errc::corrupt, blob.name, "the chunks do not give the recorded SHA-256");
  return {};
}

}  // namespace

NewFile::NewFile(std::filesystem::path path) : path_(std::move(path)), temporary_(path_.string() + ".part") {
  to_ = std::fopen(temporary_.c_str(), "wb");
}

NewFile::~NewFile() {
  if (to_ == nullptr) return;
  std::fclose(to_);
  std::remove(temporary_.c_str());
}

Status NewFile::trouble() const {
  return fail(Errc::io, path_.string(), std::strerror(errno));
}

Status NewFile::write(ByteView bytes) {
  if (to_ == nullptr || std::fwrite(bytes.data(), 1, bytes.size(), to_) != bytes.size()) return trouble();
  return {};
}

Status NewFile::finish() {
  if (to_ == nullptr || std::fflush(to_) != 0 || ::fdatasync(::fileno(to_)) != 0) return trouble();
  if (::link(temporary_.c_str(), path_.c_str()) != 0) return trouble();  // never over something that is there
  return {};
}

Result<Episode> find_episode(const Source& source, const std::string& robot, const std::string& episode_id) {
  const sync::CentralStore& store = *source.store();
  DROVER_ASSIGN(auto episode, store.central_env().read([&](const storage::ReadTxn& txn) {
    return store.episodes().episode(txn, robot, episode_id);
  }));
  if (!episode) return fail(Errc::not_found, robot + " " + episode_id, "is not here");
  return std::move(*episode);
}

Status write_blob(const storage::Env& env, const BlobRef& blob, const std::filesystem::path& path) {
  NewFile file(path);
  DROVER_TRY(each_chunk(env, blob, [&](ByteView bytes) { return file.write(bytes); }));
  return file.finish();
}

Result<Bytes> read_blob(const storage::Env& env, const BlobRef& blob) {
  if (blob.size_bytes > blob_in_memory_max)
    return fail(Errc::too_large, blob.name, std::to_string(blob.size_bytes) + " bytes; 512 MiB is the bound");
  std::string content;
  DROVER_TRY(each_chunk(env, blob, [&](ByteView bytes) -> Status {
    if (content.size() + bytes.size() > blob_in_memory_max) return fail(Errc::too_large, blob.name, "over 512 MiB");
    content.append(as_text(bytes));
    return {};
  }));
  return Bytes::copy_of(content);
}

std::string safe_name(const std::string& name) {
  std::string file = std::filesystem::path(name).filename().string();
  return file.empty() || file == "." || file == ".." ? "blob" : file;
}

Result<LoadedRecording> load_recording(const AccessOptions& access, const std::string& robot,
                                       const std::string& episode_id) {
  DROVER_ASSIGN(const auto source, open_source(access));
  LoadedRecording out;
  DROVER_ASSIGN(out.episode, find_episode(*source, robot, episode_id));
  std::string others;
  for (const BlobRef& blob : out.episode.blobs) {
    if (!is_mcap(blob)) {
      others.append(others.empty() ? "" : ", ").append(safe_name(blob.name));
      continue;
    }
    DROVER_ASSIGN(out.file, read_blob(*source->chunks_env(), blob));
    if (capture::is_recording(*mcap::memory_source(out.file))) return out;
    return fail(Errc::invalid_argument, episode_id,
                "is an MCAP log of another program, not one of Drover's recordings");
  }
  return fail(Errc::not_found, episode_id,
              others.empty() ? "has no files" : "is no recording; it has " + others + " (export it as it is)");
}

}  // namespace drover::nodes
