// The JSON form of MCAP records that the conformance vectors use: numbers as strings, bytes as lists of strings,
// fields sorted by name. Both directions, and where to find the shared real data.
#pragma once

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <vector>

#include "storage/mcap/types.hpp"

namespace mcap_test {

using nlohmann::json;
using namespace drover;
using namespace drover::mcap;

inline std::filesystem::path shared_data(const char* folder) {
  const char* root = std::getenv("DROVER_SHARED_DATA");
  if (root == nullptr || !std::filesystem::exists(std::filesystem::path(root) / folder)) return {};
  return std::filesystem::path(root) / folder;
}

inline std::vector<std::filesystem::path> files_below(const std::filesystem::path& folder, const char* extension) {
  std::vector<std::filesystem::path> files;
  if (folder.empty()) return files;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder))
    if (entry.path().extension() == extension) files.push_back(entry.path());
  std::sort(files.begin(), files.end());
  return files;
}

inline std::string read_whole(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  std::stringstream out;
  out << in.rdbuf();
  return out.str();
}

inline json number(uint64_t value) {
  return std::to_string(value);
}
inline json bytes(const Bytes& data) {
  json list = json::array();
  for (const auto b : data.view()) list.push_back(std::to_string(static_cast<unsigned>(b)));
  return list;
}
inline json map_of(const StringMap& map) {
  json object = json::object();
  for (const auto& [key, value] : map) object[key] = value;
  return object;
}
inline json map_of(const std::vector<std::pair<uint16_t, uint64_t>>& map) {
  json object = json::object();
  for (const auto& [key, value] : map) object[std::to_string(key)] = number(value);
  return object;
}

struct ToJson {
  static json made(const char* type, json fields) { return {{"type", type}, {"fields", std::move(fields)}}; }
  json operator()(const Header& r) const { return made("Header", {{"library", r.library}, {"profile", r.profile}}); }
  json operator()(const Footer& r) const {
    return made("Footer", {{"summary_crc", number(r.summary_crc)},
                           {"summary_offset_start", number(r.summary_offset_start)},
                           {"summary_start", number(r.summary_start)}});
  }
  json operator()(const Schema& r) const {
    return made("Schema", {{"data", bytes(r.data)}, {"encoding", r.encoding}, {"id", number(r.id)}, {"name", r.name}});
  }
  json operator()(const Channel& r) const {
    return made("Channel", {{"id", number(r.id)},
                            {"message_encoding", r.message_encoding},
                            {"metadata", map_of(r.metadata)},
                            {"schema_id", number(r.schema_id)},
                            {"topic", r.topic}});
  }
  json operator()(const Message& r) const {
    return made("Message", {{"channel_id", number(r.channel_id)},
                            {"data", bytes(r.data)},
                            {"log_time", number(r.log_time_ns)},
                            {"publish_time", number(r.publish_time_ns)},
                            {"sequence", number(r.sequence)}});
  }
  json operator()(const Chunk&) const { return made("Chunk", json::object()); }
  json operator()(const MessageIndex&) const { return made("MessageIndex", json::object()); }
  json operator()(const ChunkIndex& r) const {
    return made("ChunkIndex", {{"chunk_length", number(r.chunk_length)},
                               {"chunk_start_offset", number(r.chunk_start_offset)},
                               {"compressed_size", number(r.compressed_bytes)},
                               {"compression", r.compression},
                               {"message_end_time", number(r.message_end_time_ns)},
                               {"message_index_length", number(r.message_index_length)},
                               {"message_index_offsets", map_of(r.message_index_offsets)},
                               {"message_start_time", number(r.message_start_time_ns)},
                               {"uncompressed_size", number(r.uncompressed_bytes)}});
  }
  json operator()(const Attachment& r) const {
    return made("Attachment", {{"create_time", number(r.create_time_ns)},
                               {"data", bytes(r.data)},
                               {"log_time", number(r.log_time_ns)},
                               {"media_type", r.media_type},
                               {"name", r.name}});
  }
  json operator()(const AttachmentIndex& r) const {
    return made("AttachmentIndex", {{"create_time", number(r.create_time_ns)},
                                    {"data_size", number(r.data_bytes)},
                                    {"length", number(r.length)},
                                    {"log_time", number(r.log_time_ns)},
                                    {"media_type", r.media_type},
                                    {"name", r.name},
                                    {"offset", number(r.offset)}});
  }
  json operator()(const Statistics& r) const {
    return made("Statistics", {{"attachment_count", number(r.attachment_count)},
                               {"channel_count", number(r.channel_count)},
                               {"channel_message_counts", map_of(r.channel_message_counts)},
                               {"chunk_count", number(r.chunk_count)},
                               {"message_count", number(r.message_count)},
                               {"message_end_time", number(r.message_end_time_ns)},
                               {"message_start_time", number(r.message_start_time_ns)},
                               {"metadata_count", number(r.metadata_count)},
                               {"schema_count", number(r.schema_count)}});
  }
  json operator()(const Metadata& r) const {
    return made("Metadata", {{"metadata", map_of(r.metadata)}, {"name", r.name}});
  }
  json operator()(const MetadataIndex& r) const {
    return made("MetadataIndex", {{"length", number(r.length)}, {"name", r.name}, {"offset", number(r.offset)}});
  }
  json operator()(const SummaryOffset& r) const {
    return made("SummaryOffset", {{"group_length", number(r.group_length)},
                                  {"group_opcode", number(r.group_opcode)},
                                  {"group_start", number(r.group_start)}});
  }
  json operator()(const DataEnd& r) const {
    return made("DataEnd", {{"data_section_crc", number(r.data_section_crc)}});
  }
  json operator()(const UnknownRecord&) const { return made("Unknown", json::object()); }
};

// The vectors' field lists as objects, so that both sides compare by name.
inline json expected_records(const json& vector) {
  json records = json::array();
  for (const auto& record : vector["records"]) {
    json fields = json::object();
    for (const auto& field : record["fields"]) fields[field[0].get<std::string>()] = field[1];
    records.push_back({{"type", record["type"]}, {"fields", fields}});
  }
  return records;
}

inline uint64_t as_number(const json& value) {
  return std::stoull(value.get<std::string>());
}
inline Bytes as_data(const json& list) {
  std::string text;
  for (const auto& item : list) text.push_back(static_cast<char>(as_number(item)));
  return Bytes::copy_of(text);
}
inline StringMap as_map(const json& object) {
  StringMap map;
  for (const auto& [key, value] : object.items()) map.emplace_back(key, value.get<std::string>());
  return map;
}

}  // namespace mcap_test
