// Drover's own topics of a recording as JSON text, both ways; internal to recordings. RECORDING.md has an example of
// each.
//
// Invariants: equal values give equal text. Energy, times, skills and the start and end facts keep every bit of their
// doubles; poses, sights and contacts are written as float32 (shortest text). Unknown keys are ignored on reading,
// known ones of a wrong type are corrupt.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "actors/capture/recording.hpp"
#include "messages/result.hpp"

namespace drover::capture::recording_json {

inline constexpr int version = 1;

std::string text_of(const RecordingStart& start);  // without the URDF
std::string text_of(const RecordingEnd& end);
std::string text_of(const RecordedEvent& event);
std::string text_of(const RecordedSkill& skill, bool begin);
std::string text_of_energy(double time_s, const RecordedEnergy& energy);
std::string text_of_objects(double time_s, std::span<const RecordedFrame> frames);  // objects only
std::string text_of_sense(double time_s, const RecordedSense& sense);
std::string text_of_contacts(double time_s, std::span<const RecordedContact> contacts);

// /drover/episode holds both.
enum class Phase : uint8_t { start, end };
Result<Phase> phase_of(std::string_view text);
Result<RecordingStart> read_start(std::string_view text);  // errors also: unsupported_version
Result<RecordingEnd> read_end(std::string_view text);
Result<RecordedEvent> read_event(std::string_view text);

struct SkillMessage {
  bool begin = false;
  RecordedSkill skill;
};
Result<SkillMessage> read_skill(std::string_view text);

template <class T>
struct Timed {
  double time_s = 0;
  T value;
};
Result<Timed<RecordedEnergy>> read_energy(std::string_view text, size_t joints);

// Names live here, the frames point to them.
struct Objects {
  std::vector<std::string> names;
  std::vector<RecordedFrame> frames;
};
Result<Timed<Objects>> read_objects(std::string_view text);
struct Sense {
  std::vector<std::string> names;
  RecordedSense sense;
};
Result<Timed<Sense>> read_sense(std::string_view text);
struct Contacts {
  std::vector<std::string> names;
  std::vector<RecordedContact> contacts;
};
Result<Timed<Contacts>> read_contacts(std::string_view text);

// JSON Schema of a topic's messages, by its schema name ("drover.Episode", ...). Empty for another name.
std::string_view schema_text(std::string_view name) noexcept;

}  // namespace drover::capture::recording_json
