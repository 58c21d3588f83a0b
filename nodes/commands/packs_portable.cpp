#include "nodes/commands/packs_portable.hpp"

#include "actors/datapack/portable_recording.hpp"
#include "storage/blobs.hpp"
#include "storage/mcap/io.hpp"

namespace drover::nodes {
namespace {

using storage::ReadTxn;
constexpr uint64_t recording_bytes_max = uint64_t{1} << 30;

PortableOutcome lacking(std::string reason, std::string detail = {}) {
  return {PortableOrigin::none, std::move(reason), std::move(detail)};
}

bool may_be_recording(const BlobRef& blob) {
  return blob.media_type == "application/x-mcap" || blob.name.ends_with(".mcap");
}

// Chunk by chunk, each in a transaction of its own, as a live store likes it. Nothing: a chunk is not here.
Result<std::optional<Bytes>> load(const storage::Env& env, const BlobRef& blob) {
  const storage::Blobs blobs = storage::Blobs::open(env);
  std::string content;
  for (const ChunkRef& chunk : blob.chunks) {
    DROVER_ASSIGN(const auto bytes, env.read([&](const ReadTxn& txn) -> Result<std::optional<Bytes>> {
      DROVER_ASSIGN(const bool here, blobs.has_in(txn, chunk.hash));
      if (!here) return std::optional<Bytes>();
      DROVER_ASSIGN(auto found, blobs.get_in(txn, chunk.hash));
      return std::optional<Bytes>(std::move(found));
    }));
    if (!bytes) return std::optional<Bytes>();
    content += as_text(bytes->view());
  }
  return std::optional<Bytes>(Bytes::copy_of(content));
}

}  // namespace

Result<PortableOutcome> PortableMaker::make(Datapack& pack) const {
  if (pack.schema_version != schema_version_portable) return from_recording(pack);
  if (const Status good = datapack::check_portable(pack); !good)
    return lacking("its artifacts break the format", good.error().message());
  return PortableOutcome{PortableOrigin::embedded, {}, {}};
}

Result<PortableOutcome> PortableMaker::from_recording(Datapack& pack) const {
  const sync::CentralStore& store = *source_.store();
  DROVER_ASSIGN(const auto episode, store.central_env().read([&](const ReadTxn& txn) {
    return store.episodes().episode(txn, pack.provenance.robot, pack.provenance.episode_id);
  }));
  if (!episode) return lacking("its episode is not in this store");
  const auto blob = std::find_if(episode->blobs.begin(), episode->blobs.end(), may_be_recording);
  if (blob == episode->blobs.end()) return lacking("a plain log: no camera frames, no poses");
  if (blob->size_bytes > recording_bytes_max) return lacking("its recording is over 1 GiB");
  DROVER_ASSIGN(const auto content, load(*source_.chunks_env(), *blob));
  if (!content) return lacking("its recording is not (all) in this store", blob->name);
  const auto file = mcap::memory_source(*content);
  if (!capture::is_recording(*file)) return lacking("a plain log: no camera frames, no poses");
  auto artifacts = datapack::portable_of_recording(file);
  if (!artifacts) return lacking("its recording cannot be read", artifacts.error().message());
  if (!artifacts->complete()) return lacking("its recording has " + datapack::missing_material(*artifacts));
  datapack::attach_portable(std::move(*artifacts), pack);
  return PortableOutcome{PortableOrigin::from_recording, {}, {}};
}

}  // namespace drover::nodes
