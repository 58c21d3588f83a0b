#include "actors/capture/source.hpp"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <set>
#include <utility>

#include "actors/capture/recording_reader.hpp"
#include "actors/capture/source_impl.hpp"
#include "actors/capture/text.hpp"
#include "storage/mcap/reader.hpp"

namespace drover::capture {
namespace {

constexpr size_t hash_piece_bytes = 1u << 20;
constexpr size_t sniff_bytes = 4096;
constexpr uint64_t topics_scan_max = 1u << 20;  // records looked at for topics when the file has no summary
constexpr std::string_view mcap_magic("\x89MCAP0\r\n", 8);

enum class Look : uint8_t { csv, mcap, parquet, binary, utf16, empty };

struct McapProbe {
  std::string profile;
  std::set<std::string, std::less<>> topics;
};

Result<Look> look_at(const std::string& name, const ByteSource& file) {
  DROVER_ASSIGN(const Bytes head, file.read(0, static_cast<size_t>(std::min<uint64_t>(sniff_bytes, file.size()))));
  const std::string_view text = head.text();
  if (text.starts_with(mcap_magic) || glob_match("*.mcap", name)) return Look::mcap;
  if (text.empty()) return Look::empty;
  if (text.starts_with("PAR1")) return Look::parquet;
  if (text.starts_with("\xFF\xFE") || text.starts_with("\xFE\xFF")) return Look::utf16;
  const auto odd = std::count_if(text.begin(), text.end(), [](char c) {
    return (c >= 0 && c < 0x20 && c != '\n' && c != '\r' && c != '\t') || c == 0x7F;
  });
  return static_cast<size_t>(odd) * 20 > text.size() ? Look::binary : Look::csv;
}

McapProbe probe_mcap(const std::shared_ptr<const ByteSource>& file) {
  McapProbe probe;
  mcap::RecordReader reader(file);
  if (auto item = reader.next(); item && std::holds_alternative<mcap::Header>(item->record))
    probe.profile = std::get<mcap::Header>(item->record).profile;
  const auto summary = mcap::read_summary(*file);
  if (summary && !summary->channels.empty()) {
    for (const auto& [id, channel] : summary->channels) probe.topics.insert(channel.topic);
    return probe;
  }
  for (uint64_t i = 0; i < topics_scan_max; ++i) {
    const auto item = reader.next();
    if (!item) break;
    if (const auto* channel = std::get_if<mcap::Channel>(&item->record)) probe.topics.insert(channel->topic);
  }
  return probe;
}

std::string why_not_csv(const Mapping& m, const std::shared_ptr<const ByteSource>& file) {
  CsvReader reader(file, m.csv.format);
  if (auto header = reader.read_header(); !header) return header.error().what;
  for (const std::string& column : m.match.columns)
    if (std::find(reader.header().begin(), reader.header().end(), column) == reader.header().end())
      return "no column \"" + column + "\"";
  return {};
}

std::string why_not_mcap(const Mapping& m, const McapProbe& probe) {
  if (!m.match.profile.empty() && m.match.profile != probe.profile)
    return "profile is \"" + printable(probe.profile) + "\", not \"" + m.match.profile + "\"";
  for (const std::string& topic : m.match.topics)
    if (!probe.topics.contains(topic)) return "no topic \"" + topic + "\"";
  return {};
}

// Empty when the mapping fits.
std::string why_not(const Mapping& m, Look look, const std::string& name, const std::shared_ptr<const ByteSource>& file,
                    const std::optional<McapProbe>& probe) {
  if ((look == Look::mcap) != (m.format == LogFormat::mcap)) return look == Look::mcap ? "is not csv" : "is not mcap";
  const auto fits = [&](const std::string& glob) { return glob_match(glob, name); };
  if (!m.match.files.empty() && std::none_of(m.match.files.begin(), m.match.files.end(), fits))
    return "the name fits none of its match.files";
  return look == Look::mcap ? why_not_mcap(m, *probe) : why_not_csv(m, file);
}

size_t demands(const Mapping& m) {
  return m.match.columns.size() + m.match.topics.size() + (m.match.profile.empty() ? 0 : 1);
}

bool better(const Mapping& a, const Mapping& b) {
  if (a.priority != b.priority) return a.priority > b.priority;
  if (demands(a) != demands(b)) return demands(a) > demands(b);
  return a.kind < b.kind;
}

std::string_view describe(Look look) {
  switch (look) {
    case Look::parquet:
      return "it is a Parquet file (a dataset, not a log)";
    case Look::binary:
      return "it is binary and not MCAP";
    case Look::utf16:
      return "it is UTF-16 text; convert it to UTF-8";
    case Look::empty:
      return "it is empty";
    case Look::csv:
      return "it looks like text";
    case Look::mcap:
      return "it is MCAP";
  }
  return "";
}

}  // namespace

Result<std::shared_ptr<const Mapping>> choose_mapping(const std::string& name,
                                                      const std::shared_ptr<const ByteSource>& file,
                                                      const std::vector<std::shared_ptr<const Mapping>>& mappings) {
  DROVER_ASSIGN(const Look look, look_at(name, *file));
  if (look == Look::mcap && is_recording(*file)) return recording_mapping();  // it says of itself all there is to say
  std::optional<McapProbe> probe;
  if (look == Look::mcap) probe = probe_mcap(file);
  std::shared_ptr<const Mapping> best;
  std::string tried;
  for (const auto& mapping : mappings) {
    std::string reason(look == Look::csv || look == Look::mcap ? why_not(*mapping, look, name, file, probe)
                                                               : "not its format");
    if (reason.empty()) {
      if (!best || better(*mapping, *best)) best = mapping;
    } else {
      tried += (tried.empty() ? "" : "; ") + mapping->kind + ": " + reason;
    }
  }
  if (best) return best;
  if (tried.empty()) tried = "none is configured";
  return fail(Errc::not_found, printable(name),
              "no log kind fits this file (" + std::string(describe(look)) + "). Known kinds: " + tried);
}

Result<Hash> hash_source(const ByteSource& file) {
  Sha256 hash;
  for (uint64_t at = 0; at < file.size(); at += hash_piece_bytes) {
    const auto size = static_cast<size_t>(std::min<uint64_t>(hash_piece_bytes, file.size() - at));
    DROVER_ASSIGN(const Bytes piece, file.read(at, size));
    hash.update(piece);
  }
  return hash.finish();
}

Result<std::unique_ptr<LogSource>> open_log(const std::string& name, std::shared_ptr<const ByteSource> file,
                                            const Hash& hash, std::shared_ptr<const Mapping> mapping,
                                            CaptureOptions options) {
  if (options.robot.empty()) return fail(Errc::invalid_argument, "robot", "must not be empty");
  if (options.slice_bytes_max < 1) return fail(Errc::invalid_argument, "slice_bytes_max", "must be at least 1");
  if (file->size() > options.source_bytes_max)
    return fail(Errc::too_large, printable(name),
                std::to_string(file->size()) + " bytes; the bound is " + std::to_string(options.source_bytes_max));
  if (options.listener != nullptr) options.listener->begin(hash, mapping);
  SourceInput input{name, std::move(file), hash, std::move(mapping), std::move(options)};
  switch (input.mapping->format) {
    case LogFormat::recording:
      return open_recording(std::move(input));
    case LogFormat::mcap:
      return open_mcap(std::move(input));
    case LogFormat::csv:
      break;
  }
  return open_csv(std::move(input));
}

Result<std::unique_ptr<LogSource>> open_log(const std::string& name, std::shared_ptr<const ByteSource> file,
                                            const std::vector<std::shared_ptr<const Mapping>>& mappings,
                                            CaptureOptions options) {
  DROVER_ASSIGN(auto mapping, choose_mapping(name, file, mappings));
  DROVER_ASSIGN(const Hash hash, hash_source(*file));
  return open_log(name, std::move(file), hash, std::move(mapping), std::move(options));
}

Result<std::vector<std::shared_ptr<const Mapping>>> load_mappings(const std::string& folder) {
  std::vector<std::filesystem::path> files;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(folder, error))
    if (entry.path().extension() == ".toml") files.push_back(entry.path());
  if (error) return fail(Errc::not_found, folder, "cannot list the mappings folder: " + error.message());
  std::sort(files.begin(), files.end());
  std::vector<std::shared_ptr<const Mapping>> mappings;
  std::string problems;
  std::set<std::string> kinds;
  for (const auto& file : files) {
    std::ifstream in(file, std::ios::binary);
    const std::string text((std::istreambuf_iterator<char>(in)), std::istreambuf_iterator<char>());
    auto mapping = in.bad() ? fail(Errc::io, file.string(), file.string() + ": cannot be read")
                            : parse_mapping(text, file.string());
    if (mapping && !kinds.insert(mapping->kind).second)
      mapping = fail(Errc::invalid_argument, file.string(),
                     file.string() + ": kind \"" + mapping->kind + "\" is there twice");
    if (mapping) {
      mappings.push_back(std::make_shared<const Mapping>(std::move(*mapping)));
    } else {
      problems += (problems.empty() ? "" : "\n") + mapping.error().what;
    }
  }
  if (!problems.empty()) return fail(Errc::invalid_argument, folder, problems);
  if (mappings.empty()) return fail(Errc::not_found, folder, "holds no *.toml mapping");
  return mappings;
}

}  // namespace drover::capture
