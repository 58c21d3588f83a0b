// Makes packs portable for export: with the artifacts they carry, else with those of their recording in the store.
#pragma once

#include <string>

#include "actors/datapack/portable_artifacts.hpp"
#include "nodes/commands/store_access.hpp"

namespace drover::nodes {

enum class PortableOrigin : uint8_t { embedded, from_recording, none };

struct PortableOutcome {
  PortableOrigin origin = PortableOrigin::none;
  std::string reason;  // none: why, in few different words, so that packs can be counted by it
  std::string detail;  // none: what is particular about this one; may be empty
};

class PortableMaker {
 public:
  explicit PortableMaker(const Source& source) : source_(source) {}

  // Changes the pack only when it becomes portable. Errors: those of the store that end an export (corrupt, io).
  Result<PortableOutcome> make(Datapack& pack) const;

 private:
  Result<PortableOutcome> from_recording(Datapack& pack) const;

  const Source& source_;
};

}  // namespace drover::nodes
