# SPDX-License-Identifier: MIT
# cmake -DGLSLC=glslc -DSHADERS=shaders [-DWRITE=ON] -P spirv.cmake
# Every shaders/spirv/NAME.inc is the code of NAME.comp, which needs a newer glslc than the systems have that limn is
# built on. Its first line says of which sources it was made, by their hash, and by which glslc. This checks that the
# sources are still those; with a glslc of the same version also that the words are the same. With WRITE it makes them
# anew.

# The text of a shader and of all that it includes.
function(read_sources path out)
  file(READ ${path} text)
  get_filename_component(folder ${path} DIRECTORY)
  string(REGEX MATCHALL "#include \"[^\"]+\"" includes "${text}")
  foreach(include ${includes})
    string(REGEX REPLACE "#include \"(.+)\"" "\\1" name "${include}")
    read_sources(${folder}/${name} more)
    string(APPEND text "${more}")
  endforeach()
  set(${out} "${text}" PARENT_SCOPE)
endfunction()

execute_process(COMMAND ${GLSLC} --version OUTPUT_VARIABLE version RESULT_VARIABLE failed)
if(failed)
  message(FATAL_ERROR "${GLSLC} does not run")
endif()
string(REGEX MATCH "^[^\n]+" shaderc "${version}")
string(REGEX MATCH "glslang [^\n]+" glslang "${version}")
set(version "${shaderc}, ${glslang}")

file(GLOB sources ${SHADERS}/spirv/*.comp)
foreach(source ${sources})
  get_filename_component(name ${source} NAME_WE)
  set(committed ${SHADERS}/spirv/${name}.inc)
  read_sources(${source} text)
  string(SHA256 hash "${text}")
  set(head "/* of sources ${hash}, by ${version} */")
  execute_process(
    COMMAND ${GLSLC} --target-env=vulkan1.2 -O -DHALF -I ${SHADERS} -mfmt=num -o - ${source}
    OUTPUT_VARIABLE words ERROR_VARIABLE why RESULT_VARIABLE failed)
  if(WRITE)
    if(failed)
      message(FATAL_ERROR "${GLSLC} (${version}) cannot compile ${source}:\n${why}")
    endif()
    file(WRITE ${committed} "${head}\n${words}\n")
    continue()
  endif()
  file(READ ${committed} code)
  string(FIND "${code}" "by ${version} */" by)
  if(NOT code MATCHES "of sources ${hash}")
    message(SEND_ERROR "${committed} was made of other sources; make it anew (docs/VULKAN.md says how)")
  endif()
  if(failed)
    message("skipped in part: ${GLSLC} (${version}) is too old to compile spirv/${name}.comp")
  elseif(by EQUAL -1)
    message("skipped in part: another glslc than this (${version}) made spirv/${name}.inc, and its words may differ")
  elseif(NOT code STREQUAL "${head}\n${words}\n")
    message(SEND_ERROR "${committed} is not what ${GLSLC} makes of its sources")
  endif()
endforeach()
