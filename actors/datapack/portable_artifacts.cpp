// Reading artifacts (see portable_artifacts.hpp). Everything here may come from strangers: each value is checked, and
// an error names the field as it stands in the pack.
#include "actors/datapack/portable_artifacts.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <map>
#include <span>
#include <system_error>
#include <utility>

#include "storage/datapack_json_scan.hpp"

namespace drover::datapack {
namespace {

namespace json = storage::json;
using json::Members;
using Items = std::vector<std::string_view>;

constexpr double coordinate_max_m = 1e6;
constexpr double time_max_s = 1e9;
constexpr double unit_tolerance = 1e-3;  // of a rotation's length: four digits are written
constexpr size_t dim_max = 4096;
constexpr size_t samples_max = 400'000;  // of all tracks together
constexpr size_t text_max_bytes = 256;

// A checked value (a slice of the text) with its place, which becomes text only in an error. The parent and the text of
// the key must outlive the child.
struct Node {
  std::string_view value;
  const Node* up = nullptr;
  std::string_view key = {};
  size_t index = 0;

  std::string place() const {
    if (up == nullptr) return std::string(key);
    std::string out = up->place();
    if (key.empty()) return out.append("[").append(std::to_string(index)).append("]");
    // Keys of scene tracks carry the name of the artifact themselves: scene_tracks_v1/poses_t.
    if (key.starts_with(out) && key.substr(out.size(), 1) == "/") return std::string(key);
    out += '.';
    for (const char c : key.substr(0, 64)) out += static_cast<unsigned char>(c) < 0x20 || c == 0x7f ? '?' : c;
    return out;
  }
  tl::unexpected<Error> bad(std::string what) const { return fail(Errc::invalid_argument, place(), std::move(what)); }
  Node at(const Items& items, size_t i) const { return {items[i], this, {}, i}; }
};

Result<Members> members(const Node& n) {
  if (!json::is_object(n.value)) return n.bad("expected an object");
  auto out = json::members(n.value);
  if (out.size() > portable_names_max) return n.bad("has too many fields");
  return out;
}

Result<Items> items(const Node& n) {
  if (!json::is_array(n.value)) return n.bad("expected an array");
  auto out = json::items(n.value);
  if (out.size() > portable_rows_max) return n.bad("has too many rows");
  return out;
}

// The number at the front of `text`, which is behind it afterwards.
Result<double> take_number(const Node& n, std::string_view& text, double least, double most) {
  if (!json::is_number(text)) return n.bad("expected a number");
  double v = 0;
  const auto read = std::from_chars(text.data(), text.data() + text.size(), v);
  if (read.ec != std::errc() || !(v >= least && v <= most)) return n.bad("is out of range");
  text.remove_prefix(static_cast<size_t>(read.ptr - text.data()));
  return v;
}

Result<double> number(const Node& n, double least, double most) {
  std::string_view text = n.value;
  return take_number(n, text, least, most);
}

// An array of exactly out.size() numbers, in one pass: the text was checked, so nothing but blanks and commas lies
// between them.
Status read_numbers(const Node& n, const char* expected, double limit, std::span<double> out) {
  const auto wrong = [&] { return n.bad(std::string("expected ").append(expected)); };
  if (!json::is_array(n.value)) return wrong();
  std::string_view rest = n.value.substr(1);
  for (size_t i = 0;; ++i) {
    rest.remove_prefix(std::min(rest.find_first_not_of(" \t\r\n,"), rest.size()));
    if (rest.empty() || rest.front() == ']') return i == out.size() ? Status{} : wrong();
    if (i == out.size()) return wrong();
    DROVER_ASSIGN(out[i], take_number(Node{rest, &n, {}, i}, rest, -limit, limit));
  }
}

Result<bool> flag(const Node& n) {
  if (n.value != "true" && n.value != "false") return n.bad("expected true or false");
  return n.value == "true";
}

Result<std::string> text(const Node& n) {
  std::string v;
  if (!json::is_string(n.value) || !json::unescape(n.value, v)) return n.bad("expected text");
  if (v.size() > text_max_bytes) return n.bad("is too long");
  return v;
}

// An object whose fields are asked for by name. The node must outlive it.
class Fields {
 public:
  static Result<Fields> of(const Node& node) {
    DROVER_ASSIGN(auto found, members(node));
    return Fields(node, std::move(found));
  }
  const Node& node() const { return node_; }
  // Empty where it is absent.
  std::string_view find(std::string_view key) const {
    for (const auto& member : members_)
      if (member.key == key) return member.value;
    return {};
  }
  bool has(std::string_view key) const { return !find(key).empty(); }
  Node child(std::string_view key) const { return {find(key), &node_, key}; }
  // read(Node) with a member that must be there.
  template <class F>
  auto member(std::string_view key, F read) const -> decltype(read(std::declval<const Node&>())) {
    const Node node = child(key);
    if (node.value.empty()) return node.bad("is missing");
    return read(node);
  }
  Result<double> number_in(std::string_view key, double least, double most) const {
    return member(key, [&](const Node& n) { return number(n, least, most); });
  }

 private:
  Fields(const Node& node, Members found) : node_(node), members_(std::move(found)) {}
  const Node& node_;
  Members members_;
};

Result<std::vector<double>> times(const Node& n) {
  DROVER_ASSIGN(const Items rows, items(n));
  std::vector<double> out;
  out.reserve(rows.size());
  for (size_t i = 0; i < rows.size(); ++i) {
    DROVER_ASSIGN(const double t, number(n.at(rows, i), 0, time_max_s));
    if (!out.empty() && t <= out.back()) return n.at(rows, i).bad("does not come after the time ahead of it");
    out.push_back(t);
  }
  if (out.empty()) return n.bad("is empty");
  return out;
}

// The slice of one JSON object.
Result<std::string_view> scan_object(std::string_view text, const char* artifact) {
  if (text.size() > portable_text_max_bytes) return fail(Errc::invalid_argument, artifact, "is longer than 4 MiB");
  const auto value = json::scan(text);
  if (!value) return fail(Errc::invalid_argument, artifact, value.error().where + ": " + value.error().what);
  if (!json::is_object(*value)) return fail(Errc::invalid_argument, artifact, "expected an object");
  return *value;
}

// ---- scene tracks --------------------------------------------------------------------------------

Result<TrackSample> with_position(const Node& row, TrackSample sample) {
  DROVER_TRY(read_numbers(row, "[x, y, z]", coordinate_max_m, sample.position_m));
  return sample;
}

Result<TrackSample> with_rotation(const Node& row, TrackSample sample) {
  DROVER_TRY(read_numbers(row, "[w, x, y, z]", 1 + unit_tolerance, sample.rotation_wxyz));
  double squares = 0;
  for (const double v : sample.rotation_wxyz) squares += v * v;
  if (std::abs(std::sqrt(squares) - 1) > unit_tolerance) return row.bad("is not a rotation: its length is not 1");
  return sample;
}

Result<TrackSample> with_occlusion(const Node& row, TrackSample sample) {
  DROVER_ASSIGN(sample.occluded, number(row, 0, 1));
  return sample;
}

using SetSample = Result<TrackSample> (*)(const Node&, TrackSample);
using TrackMap = std::map<std::string, Track, std::less<>>;

// Rows of one name into `track`: one row, or as many as there are times. One row holds for all of them.
Status read_rows(const Node& node, size_t count, SetSample set, Track& track) {
  DROVER_ASSIGN(const Items rows, items(node));
  if (rows.size() != 1 && rows.size() != count)
    return node.bad("has " + std::to_string(rows.size()) + " rows, expected 1 or " + std::to_string(count));
  if (rows.size() > track.samples.size()) track.samples.resize(count, track.samples.front());
  for (size_t i = 0; i < track.samples.size(); ++i) {
    DROVER_ASSIGN(track.samples[i], set(node.at(rows, rows.size() == 1 ? 0 : i), track.samples[i]));
  }
  return {};
}

// One of the objects name -> rows, into the tracks, which `poses_t` has named.
Status read_table(const Fields& root, const char* key, SetSample set, size_t count, TrackMap& tracks) {
  return root.member(key, [&](const Node& table) -> Status {
    DROVER_ASSIGN(const Members named, members(table));
    for (const auto& [name, rows] : named) {
      const Node node{rows, &table, name};
      const auto track = tracks.find(name);
      if (track == tracks.end()) return node.bad("is not in poses_t");
      DROVER_TRY(read_rows(node, count, set, track->second));
    }
    if (named.size() == tracks.size()) return {};
    for (const auto& [name, track] : tracks)
      if (std::none_of(named.begin(), named.end(), [&wanted = name](const auto& m) { return m.key == wanted; }))
        return table.bad("lacks '" + name.substr(0, 64) + "'");
    return {};
  });
}

Status read_objects(const Fields& root, TrackMap& tracks) {
  const Node list = root.child("scene_tracks_v1/objects");
  if (list.value.empty()) return {};
  DROVER_ASSIGN(const Items names, items(list));
  for (size_t i = 0; i < names.size(); ++i) {
    const Node item = list.at(names, i);
    DROVER_ASSIGN(const std::string name, text(item));
    const auto track = tracks.find(name);
    if (track == tracks.end()) return item.bad("is not in poses_t");
    track->second.is_object = true;
  }
  return {};
}

Result<TrackMap> named_tracks(const Node& table) {
  DROVER_ASSIGN(const Members named, members(table));
  if (named.empty()) return table.bad("has no tracks");
  TrackMap tracks;
  for (const auto& [name, rows] : named) {
    if (name.size() > text_max_bytes) return table.bad("has a name that is too long");
    tracks[std::string(name)] = Track{std::string(name), false, std::vector<TrackSample>(1)};
  }
  return tracks;
}

Result<std::string> version_of(const Node& n) {
  DROVER_ASSIGN(const Items parts, items(n));
  if (parts.size() != 1) return n.bad("expected [\"v1\"]");
  DROVER_ASSIGN(auto version, text(n.at(parts, 0)));
  if (version != "v1") return n.bad("'" + version + "' is not known; this build reads v1");
  return version;
}

// ---- rgb features --------------------------------------------------------------------------------

// `times_s` may be absent: the rows are then stride_seconds apart.
Result<CameraFeatures> camera_of(const Fields& fields, std::string name, size_t dim, double stride_s) {
  CameraFeatures out;
  out.camera = std::move(name);
  constexpr double float_max = 3.4028234663852886e38;
  const std::string expected = std::to_string(dim) + " numbers (dim)";
  DROVER_TRY(fields.member("features", [&](const Node& node) -> Status {
    DROVER_ASSIGN(const Items rows, items(node));
    if (rows.empty()) return node.bad("is empty");
    std::vector<double> row(dim);
    for (size_t i = 0; i < rows.size(); ++i) {
      DROVER_TRY(read_numbers(node.at(rows, i), expected.c_str(), float_max, row));
      for (const double v : row) out.features.push_back(static_cast<float>(v));
    }
    return {};
  }));
  const size_t rows = out.features.size() / dim;
  if (fields.has("times_s")) {
    const Node node = fields.child("times_s");
    DROVER_ASSIGN(out.times_s, times(node));
    if (out.times_s.size() != rows) return node.bad("does not have one time for each row of features");
  } else {
    for (size_t i = 0; i < rows; ++i) out.times_s.push_back(static_cast<double>(i) * stride_s);
  }
  return out;
}

Status read_other_cameras(const Fields& root, RgbFeatures& out) {
  if (!root.has("other_cameras")) return {};
  const Node table = root.child("other_cameras");
  DROVER_ASSIGN(const Members named, members(table));
  for (const auto& [name, value] : named) {
    const Node node{value, &table, name};
    DROVER_ASSIGN(const Fields fields, Fields::of(node));
    if (name.size() > text_max_bytes) return table.bad("has a name that is too long");
    if (name == out.cameras.front().camera) return node.bad("is the main camera already");
    DROVER_ASSIGN(auto camera, camera_of(fields, std::string(name), out.dim, out.stride_s));
    out.cameras.push_back(std::move(camera));
  }
  return {};
}

// ---- slice labels --------------------------------------------------------------------------------

Result<SliceLabel> label_of(const Fields& fields, bool times_needed) {
  SliceLabel out;
  const auto flag_in = [&](const char* key) { return fields.member(key, flag); };
  if (times_needed || fields.has("start_s") || fields.has("end_s")) {
    DROVER_ASSIGN(out.start_s, fields.number_in("start_s", 0, time_max_s));
    DROVER_ASSIGN(out.end_s, fields.number_in("end_s", out.start_s, time_max_s));
  }
  DROVER_ASSIGN(out.occlusion_level, fields.number_in("occlusion_level", 0, 1));
  DROVER_ASSIGN(out.is_occluded, flag_in("is_occluded"));
  DROVER_ASSIGN(out.motion_score, fields.number_in("motion_score", 0, 1));
  DROVER_ASSIGN(out.is_dynamic, flag_in("is_dynamic"));
  DROVER_ASSIGN(out.is_static, flag_in("is_static"));
  if (out.is_dynamic && out.is_static) return fields.node().bad("is_dynamic and is_static cannot both be true");
  return out;
}

}  // namespace

const Track* SceneTracks::find(std::string_view name) const {
  const auto at = std::lower_bound(tracks.begin(), tracks.end(), name,
                                   [](const Track& t, std::string_view n) { return t.name < n; });
  return at != tracks.end() && at->name == name ? &*at : nullptr;
}

Result<SceneTracks> parse_scene_tracks(std::string_view json) {
  DROVER_ASSIGN(const auto value, scan_object(json, "scene_tracks_v1"));
  const Node node{value, nullptr, "scene_tracks_v1"};
  DROVER_ASSIGN(const Fields root, Fields::of(node));
  SceneTracks out;
  DROVER_ASSIGN(out.version, root.member("scene_tracks_v1/version", version_of));
  DROVER_ASSIGN(out.times_s, root.member("scene_tracks_v1/times_s", times));
  DROVER_ASSIGN(auto tracks, root.member("scene_tracks_v1/poses_t", named_tracks));
  const size_t rows = out.times_s.size();
  if (rows * tracks.size() > samples_max) return node.bad("has too many samples");
  DROVER_TRY(read_table(root, "scene_tracks_v1/poses_t", with_position, rows, tracks));
  DROVER_TRY(read_table(root, "scene_tracks_v1/poses_q_wxyz", with_rotation, rows, tracks));
  DROVER_TRY(read_table(root, "scene_tracks_v1/occlusion", with_occlusion, rows, tracks));
  DROVER_TRY(read_objects(root, tracks));
  for (auto& [name, track] : tracks) out.tracks.push_back(std::move(track));
  return out;
}

Result<RgbFeatures> parse_rgb_features(std::string_view json) {
  DROVER_ASSIGN(const auto value, scan_object(json, "rgb_features_v1"));
  const Node node{value, nullptr, "rgb_features_v1"};
  DROVER_ASSIGN(const Fields root, Fields::of(node));
  RgbFeatures out;
  DROVER_ASSIGN(out.encoder, root.member("encoder", text));
  DROVER_ASSIGN(out.pooling, root.member("pooling", text));
  if (out.encoder.empty()) return root.child("encoder").bad("is empty");
  DROVER_ASSIGN(const double dim, root.number_in("dim", 1, dim_max));
  if (dim != std::floor(dim)) return root.child("dim").bad("expected an integer");
  out.dim = static_cast<size_t>(dim);
  DROVER_ASSIGN(out.stride_s, root.number_in("stride_seconds", 1e-6, time_max_s));
  std::string camera;
  if (root.has("camera")) {
    DROVER_ASSIGN(camera, text(root.child("camera")));
  }
  DROVER_ASSIGN(auto main, camera_of(root, std::move(camera), out.dim, out.stride_s));
  out.cameras.push_back(std::move(main));
  DROVER_TRY(read_other_cameras(root, out));
  return out;
}

Result<SliceLabels> parse_slice_labels(std::string_view json) {
  DROVER_ASSIGN(const auto value, scan_object(json, "slice_labels_v1"));
  const Node node{value, nullptr, "slice_labels_v1"};
  DROVER_ASSIGN(const Fields root, Fields::of(node));
  SliceLabels out;
  DROVER_ASSIGN(out.whole, label_of(root, false));
  if (!root.has("slices")) return out;
  const Node list = root.child("slices");
  DROVER_ASSIGN(const Items slices, items(list));
  for (size_t i = 0; i < slices.size(); ++i) {
    const Node item = list.at(slices, i);
    DROVER_ASSIGN(const Fields fields, Fields::of(item));
    DROVER_ASSIGN(const auto label, label_of(fields, true));
    if (!out.slices.empty() && label.start_s < out.slices.back().end_s)
      return item.bad("overlaps the slice ahead of it");
    out.slices.push_back(label);
  }
  return out;
}

void attach_portable(PortableArtifacts artifacts, Datapack& pack) {
  if (artifacts.complete()) {
    pack.schema_version = schema_version_portable;
    pack.raw_data_path.clear();
  }
  pack.scene_tracks_json = std::move(artifacts.scene_tracks_json);
  pack.rgb_features_json = std::move(artifacts.rgb_features_json);
  pack.slice_labels_json = std::move(artifacts.slice_labels_json);
}

Status check_portable(const Datapack& pack) {
  const auto status = [](auto parsed) { return parsed ? Status{} : Status(tl::unexpected(parsed.error())); };
  if (pack.schema_version == schema_version_portable) {
    const auto missing = [](const char* field) {
      return fail(Errc::invalid_argument, field, "is missing, which a 2.1-portable datapack needs");
    };
    if (pack.scene_tracks_json.empty()) return missing("scene_tracks_v1");
    if (pack.rgb_features_json.empty()) return missing("rgb_features_v1");
    if (pack.slice_labels_json.empty()) return missing("slice_labels_v1");
    if (!pack.raw_data_path.empty())
      return fail(Errc::invalid_argument, "raw_data_path", "must be null in a 2.1-portable datapack");
  }
  if (!pack.scene_tracks_json.empty()) DROVER_TRY(status(parse_scene_tracks(pack.scene_tracks_json)));
  if (!pack.rgb_features_json.empty()) DROVER_TRY(status(parse_rgb_features(pack.rgb_features_json)));
  if (!pack.slice_labels_json.empty()) DROVER_TRY(status(parse_slice_labels(pack.slice_labels_json)));
  return {};
}

}  // namespace drover::datapack
