// Sima2Client: where rollouts come from. The template client makes them up; a replay client reads recorded ones. Pure.
#pragma once

#include <memory>
#include <optional>

#include "actors/semantics/rollout.hpp"
#include "messages/result.hpp"

namespace drover::semantics {

class Sima2Client {
 public:
  virtual ~Sima2Client() = default;
  // The next rollout, or nothing at the end. `truth.segments` is empty where nobody knows. Errors: what the source says
  // of itself (io, corrupt); the next call goes on with the next rollout.
  virtual Result<std::optional<LabelledRollout>> next() = 0;
};

}  // namespace drover::semantics
