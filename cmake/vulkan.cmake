# SPDX-License-Identifier: MIT
# The Vulkan backend. It needs Vulkan's headers (1.3) and glslc when it is built, and nothing at link time; without them
# limn has the CPU alone, and LIMN_VULKAN is not set. Every shaders/NAME.comp becomes an entry of the table in
# core/vulkan/shaders.h, and so does every shaders/spirv/NAME.inc: code that the glslc of the systems limn is built on
# cannot make, committed as the list of words that `glslc -mfmt=num` writes. With a newer one, -DLIMN_NEW_GLSLC=path, the
# target spirv makes them anew, and the test spirv compares (spirv.cmake).
find_program(GLSLC glslc)
find_path(VULKAN_HEADERS vulkan/vulkan_core.h)
include(CheckSymbolExists)
if(VULKAN_HEADERS)
  set(CMAKE_REQUIRED_INCLUDES ${VULKAN_HEADERS})
  check_symbol_exists(VK_API_VERSION_1_3 vulkan/vulkan_core.h VULKAN_HEADERS_1_3)
  unset(CMAKE_REQUIRED_INCLUDES)
endif()

set(LIMN_VULKAN_ROOM)
if(NOT GLSLC OR NOT VULKAN_HEADERS_1_3)
  message(STATUS "No Vulkan backend: it needs glslc and Vulkan's headers 1.3 (Debian: glslc, libvulkan-dev)")
  return()
endif()

set(LIMN_VULKAN_ROOM limn_vulkan)
target_compile_definitions(limn_options INTERFACE LIMN_VULKAN)
room(vulkan core/vulkan limn_tensor ${CMAKE_DL_LIBS})
target_include_directories(limn_vulkan SYSTEM PRIVATE ${VULKAN_HEADERS})

set(shader_folder ${CMAKE_BINARY_DIR}/shaders)
file(MAKE_DIRECTORY ${shader_folder})
file(GLOB shaders CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/shaders/*.comp)
set(compiled)
set(arrays)
set(entries)
# shader(SOURCE FORM HALF options...): SOURCE compiled to NAMEFORM.inc, and its entry.
macro(shader source form half)
  get_filename_component(name ${source} NAME_WE)
  set(words ${shader_folder}/${name}${form}.inc)
  add_custom_command(OUTPUT ${words} DEPENDS ${source} DEPFILE ${words}.d VERBATIM
    COMMAND ${GLSLC} --target-env=vulkan1.2 -O -I ${CMAKE_SOURCE_DIR}/shaders -mfmt=num -MD -MF ${words}.d -MT ${words}
      ${ARGN} -o ${words} ${source})
  list(APPEND compiled ${words})
  string(APPEND arrays "static const uint32_t words_of_${name}${form}[] = {\n#include \"${name}${form}.inc\"\n};\n")
  string(APPEND entries "    {\"${name}\", ${half}, words_of_${name}${form}, sizeof words_of_${name}${form}},\n")
endmacro()
foreach(source ${shaders})
  shader(${source} "" false)
  file(STRINGS ${source} of_values REGEX "^#include \"(values|product).glsl\"")
  if(of_values)
    shader(${source} "_half" true -DHALF)
  endif()
endforeach()
file(GLOB committed CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/shaders/spirv/*.inc)
foreach(words ${committed})
  get_filename_component(name ${words} NAME_WE)
  string(APPEND arrays "static const uint32_t words_of_${name}[] = {\n#include \"${words}\"\n};\n")
  string(APPEND entries "    {\"${name}\", true, words_of_${name}, sizeof words_of_${name}},\n")
endforeach()
file(CONFIGURE OUTPUT ${shader_folder}/shaders.c @ONLY CONTENT "#include \"core/vulkan/shaders.h\"

@arrays@
const struct vk_shader vk_shaders[] = {
@entries@};
const int vk_shader_count = sizeof vk_shaders / sizeof *vk_shaders;
")
set_source_files_properties(${shader_folder}/shaders.c PROPERTIES OBJECT_DEPENDS "${compiled};${committed}")
target_sources(limn_vulkan PRIVATE ${shader_folder}/shaders.c)

set(LIMN_NEW_GLSLC ${GLSLC} CACHE FILEPATH "a glslc that knows GL_KHR_cooperative_matrix")
set(spirv ${CMAKE_COMMAND} -DGLSLC=${LIMN_NEW_GLSLC} -DSHADERS=${CMAKE_SOURCE_DIR}/shaders)
add_custom_target(spirv COMMAND ${spirv} -DWRITE=ON -P ${CMAKE_SOURCE_DIR}/cmake/spirv.cmake VERBATIM)
add_test(NAME spirv COMMAND ${spirv} -P ${CMAKE_SOURCE_DIR}/cmake/spirv.cmake)
