// EpisodeAnnotator: the door for whoever has something to say of each episode while it is captured. Values and an
// interface; capture knows nobody who implements it.
//
// The record is journaled right before the episode's datapack, in the same transaction as both, and so is the state:
// after a crash a new annotator is given the state that belongs to the episodes that were stored.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "actors/capture/captured.hpp"
#include "actors/capture/listener.hpp"
#include "actors/capture/mapping.hpp"
#include "messages/datapack.hpp"
#include "messages/episode.hpp"
#include "messages/result.hpp"

namespace drover::capture {

struct Annotation {
  std::optional<Enrichment> record;  // of the episode's datapack; nothing: there is nothing to say
};

class EpisodeAnnotator {
 public:
  virtual ~EpisodeAnnotator() = default;
  // Errors: corrupt, unsupported_version; the annotator is then as new.
  virtual Status restore(std::string_view state) = 0;
  // Hears the sources whose episodes will be annotated, if it wants to; lives as long as the annotator.
  virtual SourceListener* listener() { return nullptr; }
  // Errors say why nothing can be said of the episode, which is captured all the same.
  virtual Result<Annotation> annotate(const CapturedEpisode& episode, const Mapping& mapping, const Datapack& pack) = 0;
  // What restore() will need after the episodes so far, at most storage::mark_value_max_bytes; asked for once for all
  // episodes of a transaction. Nothing: unchanged since it was asked last.
  virtual std::optional<std::string> state() = 0;
};

// One for each folder and each life of its actor.
using MakeAnnotator = std::function<std::unique_ptr<EpisodeAnnotator>()>;

}  // namespace drover::capture
