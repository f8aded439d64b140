// SPDX-License-Identifier: MIT
// Head of all shaders: which workgroup and which invocation this is. Workgroups lie in x and y, because a device need
// not take more than 65,535 in one direction; the last row may be longer than the work.

uint group_index()
{
    return gl_WorkGroupID.y * gl_NumWorkGroups.x + gl_WorkGroupID.x;
}

// A macro, because gl_WorkGroupSize is 1 until the shader has declared its local size, which it does further down.
#define invocation_index() (group_index() * gl_WorkGroupSize.x + gl_LocalInvocationID.x)
