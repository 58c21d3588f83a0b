#include "actors/capture/spool.hpp"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>

#include "actors/capture/text.hpp"
#include "messages/buggify.hpp"

namespace drover::capture {
namespace {

constexpr int mark_version = 1;
constexpr size_t mark_bytes_max = 64 << 10;

bool is_settled(MarkState state) noexcept {
  return state != MarkState::taking;
}

std::optional<MarkState> state_from_name(std::string_view name) noexcept {
  for (const auto state : {MarkState::taking, MarkState::done, MarkState::duplicate, MarkState::quarantined})
    if (mark_state_name(state) == name) return state;
  return std::nullopt;
}

Result<SpoolMark> read_mark(const nlohmann::json& json) {
  if (json.at("version").get<int>() != mark_version)
    return fail(Errc::unsupported_version, "spool mark", "version is not " + std::to_string(mark_version));
  SpoolMark mark;
  // Names are bytes, not always UTF-8: kept as hex.
  const auto hex = json.at("name_hex").get<std::string>();
  for (size_t i = 0; i + 1 < hex.size(); i += 2)
    mark.file.name += static_cast<char>(std::stoi(hex.substr(i, 2), nullptr, 16));
  mark.file.size_bytes = json.at("size_bytes").get<uint64_t>();
  mark.file.mtime_ns = json.at("mtime_ns").get<int64_t>();
  DROVER_ASSIGN(mark.hash, hash_from_hex(json.at("sha256").get<std::string>()));
  const auto state = state_from_name(json.at("state").get<std::string>());
  if (!state) return fail(Errc::corrupt, "spool mark", "unknown state");
  mark.state = *state;
  mark.next_ordinal = json.at("next_ordinal").get<uint64_t>();
  mark.attempts = json.at("attempts").get<uint32_t>();
  mark.detail = json.at("detail").get<std::string>();
  return mark;
}

}  // namespace

std::string_view mark_state_name(MarkState state) noexcept {
  switch (state) {
    case MarkState::taking:
      return "taking";
    case MarkState::done:
      return "done";
    case MarkState::duplicate:
      return "duplicate";
    case MarkState::quarantined:
      return "quarantined";
  }
  return "unknown";
}

std::string mark_key(const SpoolMark& mark) {
  return to_hex(mark.hash) + "/" + to_hex(sha256(as_bytes(mark.file.name))).substr(0, 16);
}

Bytes encode(const SpoolMark& mark) {
  const nlohmann::json json = {{"version", mark_version},
                               {"name", printable(mark.file.name)},
                               {"name_hex", to_hex(as_bytes(mark.file.name))},
                               {"size_bytes", mark.file.size_bytes},
                               {"mtime_ns", mark.file.mtime_ns},
                               {"sha256", to_hex(mark.hash)},
                               {"state", mark_state_name(mark.state)},
                               {"next_ordinal", mark.next_ordinal},
                               {"attempts", mark.attempts},
                               {"detail", mark.detail}};
  return Bytes::copy_of(json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace));
}

Result<SpoolMark> decode_mark(ByteView bytes) {
  if (bytes.size() > mark_bytes_max) return fail(Errc::too_large, "spool mark", "is over 64 KiB");
  try {
    return read_mark(nlohmann::json::parse(as_text(bytes)));
  } catch (const std::exception& e) {
    return fail(Errc::corrupt, "spool mark", e.what());
  }
}

bool Spool::ignored(std::string_view name) const {
  if (name.empty() || name.front() == '.') return true;
  return std::any_of(config_.ignored_suffixes.begin(), config_.ignored_suffixes.end(),
                     [&](const std::string& suffix) { return name.ends_with(suffix); });
}

void Spool::poll(std::vector<FileStat> listing) {
  ++polls_;
  // Settled files leave first, or a folder that is never emptied would hide new ones behind files_max.
  settled_.clear();
  std::erase_if(listing, [&](const FileStat& file) {
    if (ignored(file.name)) return true;
    const SpoolMark* mark = latest(file);
    if (mark == nullptr || !is_settled(mark->state)) return false;
    if (config_.remove_done) settled_.push_back(*mark);
    return true;
  });
  std::sort(listing.begin(), listing.end(), [](const auto& a, const auto& b) { return a.name < b.name; });
  if (listing.size() > config_.files_max) listing.resize(config_.files_max);
  std::map<std::string, Seen> now;
  for (FileStat& file : listing) {
    const auto before = seen_.find(file.name);
    const bool same = before != seen_.end() && before->second.file == file;
    std::string name = file.name;
    now.emplace(std::move(name), Seen{std::move(file), same ? before->second.stable + 1 : 1});
  }
  seen_ = std::move(now);
  std::erase_if(resting_, [&](const auto& item) { return !seen_.contains(item.first); });
}

// The mark of exactly this file: same name, size and time.
const SpoolMark* Spool::latest(const FileStat& file) const {
  const auto [begin, end] = keys_.equal_range(file.name);
  for (auto it = begin; it != end; ++it)
    if (const SpoolMark& mark = marks_.at(it->second); mark.file == file) return &mark;
  return nullptr;
}

std::optional<FileStat> Spool::next() const {
  for (const auto& [name, seen] : seen_) {
    if (seen.stable < config_.stable_polls && !buggify::bug(buggify::Bug::half_written_taken)) continue;
    if (const auto rest = resting_.find(name); rest != resting_.end() && polls_ < rest->second) continue;
    if (const SpoolMark* mark = latest(seen.file); mark != nullptr && is_settled(mark->state)) continue;
    return seen.file;
  }
  return std::nullopt;
}

size_t Spool::waiting_count() const {
  return static_cast<size_t>(std::count_if(seen_.begin(), seen_.end(), [&](const auto& item) {
    const SpoolMark* mark = latest(item.second.file);
    return mark == nullptr || !is_settled(mark->state);
  }));
}

std::optional<uint64_t> Spool::grown_from(const FileStat& file) const {
  std::optional<uint64_t> size;
  const auto [begin, end] = keys_.equal_range(file.name);
  for (auto it = begin; it != end; ++it) {
    const SpoolMark& mark = marks_.at(it->second);
    const bool taken = mark.state == MarkState::done || mark.next_ordinal > 0;
    if (taken && mark.file.size_bytes < file.size_bytes) size = std::max(size.value_or(0), mark.file.size_bytes);
  }
  return size;
}

Spool::Start Spool::start(const FileStat& file, const Hash& hash, const std::optional<Hash>& prefix) const {
  Start start;
  start.mark.file = file;
  start.mark.hash = hash;
  if (const auto known = marks_.find(mark_key(start.mark)); known != marks_.end()) {
    start.mark = known->second;
    start.mark.file = file;  // the same content was touched or copied again: only its time is new
  }
  if (is_settled(start.mark.state) && !buggify::bug(buggify::Bug::file_taken_twice)) return start;
  const auto [begin, end] = keys_.equal_range(file.name);
  for (auto it = begin; it != end; ++it) {
    const SpoolMark& mark = marks_.at(it->second);
    const bool taken = mark.state == MarkState::done || mark.next_ordinal > 0;
    if (!taken || !prefix || mark.hash != *prefix || mark.hash == hash) continue;
    start.mark =
        rejected(std::move(start.mark), "grew after it had been taken at " + std::to_string(mark.file.size_bytes) +
                                            " bytes; write new data to a new file, or raise stable_polls");
    return start;
  }
  const std::string prefix_key = to_hex(hash) + "/";
  for (auto it = marks_.lower_bound(prefix_key); it != marks_.end() && it->first.starts_with(prefix_key); ++it) {
    const SpoolMark& mark = it->second;
    const bool taken = mark.state == MarkState::done || mark.next_ordinal > 0;
    if (!config_.skip_duplicates || mark.file.name == file.name || !taken) continue;
    start.mark.state = MarkState::duplicate;
    start.mark.detail = mark.file.name;
    return start;
  }
  if (start.mark.attempts >= config_.attempts_max) {
    start.mark = rejected(std::move(start.mark), "the capture ended " + std::to_string(config_.attempts_max) +
                                                     " times at episode " + std::to_string(start.mark.next_ordinal) +
                                                     " without progress");
    return start;
  }
  ++start.mark.attempts;
  start.mark.detail.clear();
  start.take = true;
  return start;
}

SpoolMark Spool::advanced(SpoolMark mark, uint64_t next_ordinal) {
  mark.next_ordinal = std::max(mark.next_ordinal, next_ordinal);
  mark.attempts = 1;
  mark.detail.clear();
  return mark;
}

SpoolMark Spool::finished(SpoolMark mark) {
  mark.state = MarkState::done;
  mark.attempts = 0;
  mark.detail.clear();
  return mark;
}

SpoolMark Spool::rejected(SpoolMark mark, std::string reason) {
  mark.state = MarkState::quarantined;
  mark.detail = printable(reason, 2000);
  return mark;
}

SpoolMark Spool::failed(SpoolMark mark, std::string reason) const {
  if (mark.attempts == 0) {  // it failed before start(), for example because it cannot be opened
    const auto known = marks_.find(mark_key(mark));
    mark.attempts = known == marks_.end() ? 1 : known->second.attempts + 1;
  }
  if (mark.attempts >= config_.attempts_max) return rejected(std::move(mark), std::move(reason));
  mark.detail = printable(reason, 2000);
  return mark;
}

void Spool::commit(const SpoolMark& mark) {
  const std::string key = mark_key(mark);
  if (marks_.insert_or_assign(key, mark).second) keys_.emplace(mark.file.name, key);
  // A file that failed rests longer after each try, so that one bad file does not keep the robot busy.
  if (mark.state == MarkState::taking && !mark.detail.empty())
    resting_[mark.file.name] = polls_ + (uint64_t{1} << std::min<uint32_t>(mark.attempts, 10));
  else
    resting_.erase(mark.file.name);
}

std::vector<SpoolMark> Spool::forget_gone() {
  std::vector<SpoolMark> gone;
  // In one go of many, not one at each look.
  if (!config_.remove_done || marks_.size() < 2 * config_.marks_kept) return gone;
  std::set<std::string_view> here;
  for (const SpoolMark& mark : settled_) here.insert(mark.file.name);
  for (const auto& [key, mark] : marks_)
    if (mark.state == MarkState::done && !seen_.contains(mark.file.name) && !here.contains(mark.file.name))
      gone.push_back(mark);
  std::sort(gone.begin(), gone.end(), [](const SpoolMark& a, const SpoolMark& b) {
    return std::pair(a.file.mtime_ns, a.file.name) < std::pair(b.file.mtime_ns, b.file.name);
  });
  gone.resize(gone.size() > config_.marks_kept ? gone.size() - config_.marks_kept : 0);
  for (const SpoolMark& mark : gone) {
    const std::string key = mark_key(mark);
    marks_.erase(key);
    const auto [begin, end] = keys_.equal_range(mark.file.name);
    for (auto it = begin; it != end; ++it)
      if (it->second == key) {
        keys_.erase(it);
        break;
      }
  }
  return gone;
}

bool Spool::forgive(std::string_view name) {
  bool any = false;
  const auto [begin, end] = keys_.equal_range(name);
  for (auto it = begin; it != end; ++it) {
    SpoolMark& mark = marks_.at(it->second);
    if (mark.state != MarkState::quarantined) continue;
    mark.state = MarkState::taking;
    mark.attempts = 0;
    mark.detail.clear();
    any = true;
  }
  return any;
}

std::vector<SpoolMark> Spool::marks() const {
  std::vector<SpoolMark> out;
  for (const auto& [key, mark] : marks_) out.push_back(mark);
  return out;
}

}  // namespace drover::capture
