// Reading artifacts (see portable_artifacts.hpp). Everything here may come from strangers: each value is checked, and
// an error names the field as it stands in the pack.
#include "actors/datapack/portable_artifacts.hpp"

#include <algorithm>
#include <cmath>
#include <map>
#include <nlohmann/json.hpp>
#include <utility>

namespace drover::datapack {
namespace {

using Json = nlohmann::json;

constexpr double coordinate_max_m = 1e6;
constexpr double time_max_s = 1e9;
constexpr double unit_tolerance = 1e-3;  // of a rotation's length: four digits are written
constexpr size_t dim_max = 4096;
constexpr size_t samples_max = 400'000;  // of all tracks together
constexpr size_t text_max_bytes = 256;

// A value with its place; the place becomes text only in an error. The parent must outlive the child.
struct Node {
  const Json& value;
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
  Node at(size_t i) const { return {value[i], this, {}, i}; }
};

// The member of an object; null where it is absent.
const Json* find(const Node& object, const char* key) {
  const auto at = object.value.find(key);
  return at == object.value.end() ? nullptr : &*at;
}

Status want_object(const Node& n) {
  if (!n.value.is_object()) return n.bad("expected an object");
  if (n.value.size() > portable_names_max) return n.bad("has too many fields");
  return {};
}

Status want_array(const Node& n) {
  if (!n.value.is_array()) return n.bad("expected an array");
  if (n.value.size() > portable_rows_max) return n.bad("has too many rows");
  return {};
}

Result<double> number(const Node& n, double least, double most) {
  if (!n.value.is_number()) return n.bad("expected a number");
  const auto v = n.value.get<double>();
  if (!(v >= least && v <= most)) return n.bad("is out of range");
  return v;
}

Result<bool> flag(const Node& n) {
  if (!n.value.is_boolean()) return n.bad("expected true or false");
  return n.value.get<bool>();
}

Result<std::string> text(const Node& n) {
  if (!n.value.is_string()) return n.bad("expected text");
  auto v = n.value.get<std::string>();
  if (v.size() > text_max_bytes) return n.bad("is too long");
  return v;
}

// Calls read(Node) with a member that must be there.
template <class F>
auto member(const Node& object, const char* key, F read) -> decltype(read(object)) {
  const Json* value = find(object, key);
  if (value == nullptr) return Node{object.value, &object, key}.bad("is missing");
  return read(Node{*value, &object, key});
}

Result<double> number_in(const Node& object, const char* key, double least, double most) {
  return member(object, key, [&](const Node& n) { return number(n, least, most); });
}

Result<std::vector<double>> times(const Node& n) {
  DROVER_TRY(want_array(n));
  std::vector<double> out;
  out.reserve(n.value.size());
  for (size_t i = 0; i < n.value.size(); ++i) {
    DROVER_ASSIGN(const double t, number(n.at(i), 0, time_max_s));
    if (!out.empty() && t <= out.back()) return n.at(i).bad("does not come after the time ahead of it");
    out.push_back(t);
  }
  if (out.empty()) return n.bad("is empty");
  return out;
}

// Text to a JSON object. Depth costs nothing here: nlohmann parses and frees without recursion.
Result<Json> parse_object(std::string_view json, const char* artifact) {
  if (json.size() > portable_text_max_bytes) return fail(Errc::invalid_argument, artifact, "is longer than 4 MiB");
  Json value = Json::parse(json, nullptr, false);
  if (value.is_discarded()) return fail(Errc::invalid_argument, artifact, "is not JSON");
  if (!value.is_object()) return fail(Errc::invalid_argument, artifact, "expected an object");
  return value;
}

// ---- scene tracks --------------------------------------------------------------------------------

Result<TrackSample> with_position(const Node& row, TrackSample sample) {
  if (!row.value.is_array() || row.value.size() != 3) return row.bad("expected [x, y, z]");
  for (size_t i = 0; i < 3; ++i) {
    DROVER_ASSIGN(sample.position_m[i], number(row.at(i), -coordinate_max_m, coordinate_max_m));
  }
  return sample;
}

Result<TrackSample> with_rotation(const Node& row, TrackSample sample) {
  if (!row.value.is_array() || row.value.size() != 4) return row.bad("expected [w, x, y, z]");
  double squares = 0;
  for (size_t i = 0; i < 4; ++i) {
    DROVER_ASSIGN(const double v, number(row.at(i), -1 - unit_tolerance, 1 + unit_tolerance));
    sample.rotation_wxyz[i] = v;
    squares += v * v;
  }
  if (std::abs(std::sqrt(squares) - 1) > unit_tolerance) return row.bad("is not a rotation: its length is not 1");
  return sample;
}

Result<TrackSample> with_occlusion(const Node& row, TrackSample sample) {
  DROVER_ASSIGN(sample.occluded, number(row, 0, 1));
  return sample;
}

using SetSample = Result<TrackSample> (*)(const Node&, TrackSample);

// Rows of one name into `track`: one row, or as many as there are times. One row holds for all of them.
Status read_rows(const Node& rows, size_t count, SetSample set, Track& track) {
  DROVER_TRY(want_array(rows));
  const size_t given = rows.value.size();
  if (given != 1 && given != count)
    return rows.bad("has " + std::to_string(given) + " rows, expected 1 or " + std::to_string(count));
  if (given > track.samples.size()) track.samples.resize(count, track.samples.front());
  for (size_t i = 0; i < track.samples.size(); ++i) {
    DROVER_ASSIGN(track.samples[i], set(rows.at(given == 1 ? 0 : i), track.samples[i]));
  }
  return {};
}

// One of the objects name -> rows, into the tracks, which `poses_t` has named.
Status read_table(const Node& root, const char* key, SetSample set, size_t count,
                  std::map<std::string, Track>& tracks) {
  return member(root, key, [&](const Node& table) -> Status {
    DROVER_TRY(want_object(table));
    for (const auto& [name, track] : tracks)
      if (!table.value.contains(name)) return table.bad("lacks '" + name.substr(0, 64) + "'");
    for (const auto& [name, rows] : table.value.items()) {
      const Node node{rows, &table, name};
      const auto track = tracks.find(name);
      if (track == tracks.end()) return node.bad("is not in poses_t");
      DROVER_TRY(read_rows(node, count, set, track->second));
    }
    return {};
  });
}

Status read_objects(const Node& root, std::map<std::string, Track>& tracks) {
  const Json* names = find(root, "scene_tracks_v1/objects");
  if (names == nullptr) return {};
  const Node list{*names, &root, "scene_tracks_v1/objects"};
  DROVER_TRY(want_array(list));
  for (size_t i = 0; i < list.value.size(); ++i) {
    const Node item = list.at(i);
    DROVER_ASSIGN(const std::string name, text(item));
    const auto track = tracks.find(name);
    if (track == tracks.end()) return item.bad("is not in poses_t");
    track->second.is_object = true;
  }
  return {};
}

Result<std::map<std::string, Track>> named_tracks(const Node& root) {
  return member(root, "scene_tracks_v1/poses_t", [](const Node& table) -> Result<std::map<std::string, Track>> {
    DROVER_TRY(want_object(table));
    if (table.value.empty()) return table.bad("has no tracks");
    std::map<std::string, Track> tracks;
    for (const auto& [name, rows] : table.value.items()) {
      if (name.size() > text_max_bytes) return table.bad("has a name that is too long");
      tracks[name] = Track{name, false, std::vector<TrackSample>(1)};
    }
    return tracks;
  });
}

Result<std::string> version_of(const Node& n) {
  DROVER_TRY(want_array(n));
  if (n.value.size() != 1) return n.bad("expected [\"v1\"]");
  DROVER_ASSIGN(auto version, text(n.at(0)));
  if (version != "v1") return n.bad("'" + version + "' is not known; this build reads v1");
  return version;
}

// ---- rgb features --------------------------------------------------------------------------------

Status read_feature_row(const Node& row, size_t dim, std::vector<float>& out) {
  constexpr double float_max = 3.4028234663852886e38;
  if (!row.value.is_array() || row.value.size() != dim)
    return row.bad("expected " + std::to_string(dim) + " numbers (dim)");
  for (size_t i = 0; i < dim; ++i) {
    DROVER_ASSIGN(const double v, number(row.at(i), -float_max, float_max));
    out.push_back(static_cast<float>(v));
  }
  return {};
}

// `times_s` may be absent: the rows are then stride_seconds apart.
Result<CameraFeatures> camera_of(const Node& n, std::string name, size_t dim, double stride_s) {
  CameraFeatures out;
  out.camera = std::move(name);
  DROVER_TRY(member(n, "features", [&](const Node& rows) -> Status {
    DROVER_TRY(want_array(rows));
    if (rows.value.empty()) return rows.bad("is empty");
    out.features.reserve(rows.value.size() * dim);
    for (size_t i = 0; i < rows.value.size(); ++i) DROVER_TRY(read_feature_row(rows.at(i), dim, out.features));
    return {};
  }));
  const size_t rows = out.features.size() / dim;
  if (const Json* given = find(n, "times_s")) {
    const Node node{*given, &n, "times_s"};
    DROVER_ASSIGN(out.times_s, times(node));
    if (out.times_s.size() != rows) return node.bad("does not have one time for each row of features");
  } else {
    for (size_t i = 0; i < rows; ++i) out.times_s.push_back(static_cast<double>(i) * stride_s);
  }
  return out;
}

Status read_other_cameras(const Node& root, RgbFeatures& out) {
  const Json* others = find(root, "other_cameras");
  if (others == nullptr) return {};
  const Node table{*others, &root, "other_cameras"};
  DROVER_TRY(want_object(table));
  for (const auto& [name, value] : table.value.items()) {
    const Node node{value, &table, name};
    DROVER_TRY(want_object(node));
    if (name == out.cameras.front().camera) return node.bad("is the main camera already");
    DROVER_ASSIGN(auto camera, camera_of(node, name, out.dim, out.stride_s));
    out.cameras.push_back(std::move(camera));
  }
  return {};
}

// ---- slice labels --------------------------------------------------------------------------------

Result<SliceLabel> label_of(const Node& n, bool times_needed) {
  DROVER_TRY(want_object(n));
  SliceLabel out;
  const auto flag_in = [&](const char* key) { return member(n, key, flag); };
  if (times_needed || find(n, "start_s") != nullptr || find(n, "end_s") != nullptr) {
    DROVER_ASSIGN(out.start_s, number_in(n, "start_s", 0, time_max_s));
    DROVER_ASSIGN(out.end_s, number_in(n, "end_s", out.start_s, time_max_s));
  }
  DROVER_ASSIGN(out.occlusion_level, number_in(n, "occlusion_level", 0, 1));
  DROVER_ASSIGN(out.is_occluded, flag_in("is_occluded"));
  DROVER_ASSIGN(out.motion_score, number_in(n, "motion_score", 0, 1));
  DROVER_ASSIGN(out.is_dynamic, flag_in("is_dynamic"));
  DROVER_ASSIGN(out.is_static, flag_in("is_static"));
  if (out.is_dynamic && out.is_static) return n.bad("is_dynamic and is_static cannot both be true");
  return out;
}

}  // namespace

const Track* SceneTracks::find(std::string_view name) const {
  const auto at = std::lower_bound(tracks.begin(), tracks.end(), name,
                                   [](const Track& t, std::string_view n) { return t.name < n; });
  return at != tracks.end() && at->name == name ? &*at : nullptr;
}

Result<SceneTracks> parse_scene_tracks(std::string_view json) {
  DROVER_ASSIGN(const Json value, parse_object(json, "scene_tracks_v1"));
  const Node root{value, nullptr, "scene_tracks_v1"};
  SceneTracks out;
  DROVER_ASSIGN(out.version, member(root, "scene_tracks_v1/version", version_of));
  DROVER_ASSIGN(out.times_s, member(root, "scene_tracks_v1/times_s", times));
  DROVER_ASSIGN(auto tracks, named_tracks(root));
  const size_t rows = out.times_s.size();
  if (rows * tracks.size() > samples_max) return root.bad("has too many samples");
  DROVER_TRY(read_table(root, "scene_tracks_v1/poses_t", with_position, rows, tracks));
  DROVER_TRY(read_table(root, "scene_tracks_v1/poses_q_wxyz", with_rotation, rows, tracks));
  DROVER_TRY(read_table(root, "scene_tracks_v1/occlusion", with_occlusion, rows, tracks));
  DROVER_TRY(read_objects(root, tracks));
  for (auto& [name, track] : tracks) out.tracks.push_back(std::move(track));
  return out;
}

Result<RgbFeatures> parse_rgb_features(std::string_view json) {
  DROVER_ASSIGN(const Json value, parse_object(json, "rgb_features_v1"));
  const Node root{value, nullptr, "rgb_features_v1"};
  RgbFeatures out;
  DROVER_ASSIGN(out.encoder, member(root, "encoder", text));
  DROVER_ASSIGN(out.pooling, member(root, "pooling", text));
  if (out.encoder.empty()) return Node{value, &root, "encoder"}.bad("is empty");
  DROVER_ASSIGN(const double dim, number_in(root, "dim", 1, dim_max));
  if (dim != std::floor(dim)) return Node{value, &root, "dim"}.bad("expected an integer");
  out.dim = static_cast<size_t>(dim);
  DROVER_ASSIGN(out.stride_s, number_in(root, "stride_seconds", 1e-6, time_max_s));
  std::string camera;
  if (const Json* name = find(root, "camera")) {
    DROVER_ASSIGN(camera, text(Node{*name, &root, "camera"}));
  }
  DROVER_ASSIGN(auto main, camera_of(root, std::move(camera), out.dim, out.stride_s));
  out.cameras.push_back(std::move(main));
  DROVER_TRY(read_other_cameras(root, out));
  return out;
}

Result<SliceLabels> parse_slice_labels(std::string_view json) {
  DROVER_ASSIGN(const Json value, parse_object(json, "slice_labels_v1"));
  const Node root{value, nullptr, "slice_labels_v1"};
  SliceLabels out;
  DROVER_ASSIGN(out.whole, label_of(root, false));
  const Json* slices = find(root, "slices");
  if (slices == nullptr) return out;
  const Node list{*slices, &root, "slices"};
  DROVER_TRY(want_array(list));
  for (size_t i = 0; i < list.value.size(); ++i) {
    const Node item = list.at(i);
    DROVER_ASSIGN(const auto label, label_of(item, true));
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
