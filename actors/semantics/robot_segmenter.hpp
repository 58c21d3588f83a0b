// RobotSegmenter: the part of semantics that runs on a robot. Each captured episode becomes frames, frames become
// segments, and segments the record that is journaled with the episode's datapack (episode_segments.hpp), with the OOD
// and recovery tags that the robot can tell by itself. Pure: no clock, no disk after load().
//
// Reads logs in CSV and MCAP form and recordings (log_frames.hpp): from what the source decodes anyway where it hears
// the source, else from the episode's slice; the frames are the same. What is out of distribution is told by a
// reference of the robot's own first episodes; it is the state that restore() takes up, so that the same episodes give
// the same records whatever restarts lie between. Threads: one at a time.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "actors/capture/annotator.hpp"
#include "actors/semantics/enrichment.hpp"
#include "actors/semantics/log_frames.hpp"
#include "actors/semantics/ontology.hpp"
#include "actors/semantics/pipeline.hpp"
#include "actors/semantics/primitive.hpp"
#include "actors/semantics/segmenter.hpp"
#include "actors/semantics/vocabulary.hpp"

namespace drover::semantics {

// What it was told; shared by all segmenters of a robot, immutable.
struct RobotSegmenterRules {
  SegmenterConfig segmenter;
  PrimitiveConfig primitive;
  TaggingConfig tagging;
  OodConfig ood;
  Vocabulary vocabulary;
  OntologyStore ontology;
};

// Reads segmentation.toml, tagging.toml, trust.toml, vocabulary.toml and seed_ontology.toml of a folder. Errors:
// not_found, invalid_argument with every problem.
Result<std::shared_ptr<const RobotSegmenterRules>> load_robot_segmenter_rules(const std::string& folder);

class RobotSegmenter final : public capture::EpisodeAnnotator {
 public:
  explicit RobotSegmenter(std::shared_ptr<const RobotSegmenterRules> rules);

  Status restore(std::string_view state) override;
  capture::SourceListener* listener() override { return &frames_; }
  // No record where the episode has no signal that shows whether the robot moves.
  Result<capture::Annotation> annotate(const capture::CapturedEpisode& episode, const capture::Mapping& mapping,
                                       const Datapack& pack) override;
  std::optional<std::string> state() override;

 private:
  std::shared_ptr<const RobotSegmenterRules> rules_;
  FrameListener frames_;
  Segmenter segmenter_;
  TrainingReference reference_;
  bool learnt_ = false;  // since the state was asked for
};

}  // namespace drover::semantics
